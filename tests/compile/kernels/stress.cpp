// Compares the kernel, in every instruction set that this CPU runs, with the plain loops, over random cases.
//
//   stress [--cases N] [--seed S] [--isa NAME]
//
// Case i is made from the number S + i alone, so a failing case comes again with `--seed ITS-NUMBER --cases 1`.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>

#include "buffer.h"
#include "cases.h"
#include "graph_conv.h"
#include "source.h"

namespace {

using rgp::Kernels;

constexpr double kTolerance = 1e-5;  // of the sum of absolute products

char at_work[1024] = "what must be refused";  // the case that runs, for whoever ends the program

void tell(const char* text) { [[maybe_unused]] ssize_t n = write(STDERR_FILENO, text, std::strlen(text)); }
void tell_case() {
  tell("stress: failed at ");
  tell(at_work);
  tell("\n");
}

struct sigaction before[NSIG];
void on_signal(int number) {
  tell_case();
  sigaction(number, &before[number], nullptr);  // then the instruction runs again, and the sanitizer reports it
}

// What must come out: the plain loops, and how far from them (they again, on absolute values).
struct Expected {
  Floats y, bound;
  Floats of_tiles;  // for Winograd, whose sums are of whole tiles

  explicit Expected(const Case& c) : y(c.outputs()), bound(c.outputs()), of_tiles(c.outputs()) {
    plain(c, c.x, c.weight, c.bias, c.residual, c.low, c.high, y);
    const Floats x = absolute(c.x), weight = absolute(c.weight), bias = absolute(c.bias), added = absolute(c.residual);
    plain(c, x, weight, bias, added, -kInfinity, kInfinity, bound);
    if (!by_tiles(c)) return;
    Floats spread = x, sums = weight;
    const int64_t height = c.im.height, width = c.im.width;
    for (size_t at = 0; at < x.size(); ++at) {  // the most of what a tile with this pixel may read
      const int64_t row = static_cast<int64_t>(at) / width % height, column = static_cast<int64_t>(at) % width;
      for (int64_t i = std::max<int64_t>(0, row - 3); i < std::min(height, row + 4); ++i)
        for (int64_t j = std::max<int64_t>(0, column - 3); j < std::min(width, column + 4); ++j) {
          const float other = x[at + (i - row) * width + j - column];
          if (std::isnan(spread[at]) || other < spread[at]) continue;
          spread[at] = other;
        }
    }
    for (size_t at = 0; at < sums.size(); at += 9)
      std::fill_n(&sums[at], 9, std::accumulate(&weight[at], &weight[at] + 9, 0.f));
    plain(c, spread, sums, bias, added, -kInfinity, kInfinity, of_tiles);
  }

  static Floats absolute(Floats values) {
    for (float& v : values) v = std::fabs(v);
    return values;
  }

  // Whether Winograd's form is possible.
  static bool by_tiles(const Case& c) {
    return c.g.kernel_h == 3 && c.g.kernel_w == 3 && c.g.stride_h == 1 && c.g.stride_w == 1;
  }

  static void plain(const Case& c, const Floats& x, const Floats& weight, const Floats& bias, const Floats& residual,
                    float low, float high, Floats& y) {
    rgp::reference(c.g, c.im, x.data(), weight.data(), bias.empty() ? nullptr : bias.data(),
                   residual.empty() ? nullptr : residual.data(), low, high, y.data());
  }

  // What reads an infinity may be NaN; what is near one, but does not read it, is finite.
  bool allows_by_tiles(size_t i, float got) const {
    if (!std::isfinite(bound[i])) return true;
    return std::isfinite(of_tiles[i]) ? std::fabs(double{got} - y[i]) <= kTolerance * of_tiles[i] : std::isfinite(got);
  }

  bool allows(size_t i, float got) const {
    if (std::isfinite(bound[i])) return std::fabs(double{got} - y[i]) <= kTolerance * bound[i];
    return std::isnan(y[i]) ? std::isnan(got) : got == y[i];
  }

  // Where NaN or infinity meets a zero weight: the plain loops pass over every zero, the kernel only over channels that
  // none of a strip's outputs reads, and 0 * NaN is NaN.
  void meet_zeros(const Case& c, const rgp::Layer& layer) {
    Floats odd = c.x, zero(c.weight.size()), met(y.size());
    for (float& v : odd) v = !std::isfinite(v);
    if (std::find(odd.begin(), odd.end(), 1.f) == odd.end()) return;
    const int64_t taps = c.g.kernel_h * c.g.kernel_w;
    for (const rgp::Strip& strip : layer.strips)
      for (int i = 0; i < strip.rows * strip.fan_in; ++i) {
        const int32_t channel = layer.channels[strip.channels + i / strip.rows];
        const int64_t first = (strip.outputs[i % strip.rows] * c.g.channels + channel) * taps;
        for (int64_t at = first; at < first + taps; ++at) zero[at] = c.weight[at] == 0;
      }
    plain(c, odd, zero, {}, {}, 0, kInfinity, met);
    for (size_t i = 0; i < y.size(); ++i)
      if (met[i] > 0) y[i] = bound[i] = kNaN;
  }
};

rgp::ParallelFor tasks_for(int threads, uint64_t seed) {
  if (threads == 0)
    return [seed](size_t count, const std::function<void(size_t)>& work) {
      std::vector<size_t> order(count);
      std::iota(order.begin(), order.end(), size_t{0});
      std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
      for (size_t task : order) work(task);
    };
  const bool joins = seed % 4 != 0;  // the calling thread mostly works too, but need not come in time
  return [threads, joins](size_t count, const std::function<void(size_t)>& work) {
    std::atomic<size_t> next{0};
    const auto works = [&] {
      for (size_t task = next++; task < count; task = next++) work(task);
    };
    std::vector<std::thread> pool;
    for (int i = joins; i < threads; ++i) pool.emplace_back(works);
    if (joins) works();
    for (std::thread& thread : pool) thread.join();
  };
}

// Copies for the first and the last half of the output's rows stay in their place.
void copy_halves(const Case& c, const rgp::Layer& layer, const Kernels& kernels, const void* x) {
  if (c.outputs() == 0) return;
  const int64_t rows = (c.im.out_height + 1) / 2;
  const rgp::Source source = rgp::tall(layer, kernels, c.im, rows);
  for (int64_t first : {int64_t{0}, c.im.out_height - rows}) {
    Buffer out(source.size, c.place);
    rgp::copy(layer, kernels, c.im, source, x, 0, first, 0, layer.geometry.channels, out.data);
  }
}

// Like the op, it gives scratch once a call.
void run_once(const Case& c, const rgp::Layer& layer, const Kernels& kernels, const void* x, const void* residual,
              void* y, int threads) {
  std::unique_ptr<Buffer> scratch;
  rgp::run(layer, kernels, c.im, x, residual, y, tasks_for(threads, c.number), [&](size_t bytes) {
    if (scratch) throw std::logic_error("asked for scratch twice");
    scratch = std::make_unique<Buffer>((bytes + sizeof(float) - 1) / sizeof(float), c.place);
    return scratch->data;
  });
  copy_halves(c, layer, kernels, x);
}

// Eight threads at once with one layer, each on an image of its own and with threads of its own, against one by one.
bool crowd_agrees(const Case& c, const rgp::Layer& layer, const Kernels& kernels, const float* residual) {
  constexpr size_t kCrowd = 8;
  const size_t bytes = c.outputs() * sizeof(float);
  std::vector<std::unique_ptr<Buffer>> xs, alone, together;
  Floats x = c.x;
  for (size_t i = 0; i < kCrowd; ++i) {
    xs.push_back(std::make_unique<Buffer>(x, c.place));
    for (auto* ys : {&alone, &together}) ys->push_back(std::make_unique<Buffer>(c.outputs(), c.place));
    run_once(c, layer, kernels, xs[i]->data, residual, alone[i]->data, 0);
    if (!x.empty()) std::rotate(x.begin(), x.begin() + 1, x.end());
  }
  std::vector<std::thread> crowd;
  for (size_t i = 0; i < kCrowd; ++i)
    crowd.emplace_back([&, i] { run_once(c, layer, kernels, xs[i]->data, residual, together[i]->data, 2); });
  for (std::thread& thread : crowd) thread.join();
  for (size_t i = 0; i < kCrowd; ++i)
    if (std::memcmp(alone[i]->data, together[i]->data, bytes) != 0) return false;
  return true;
}

// The layer in Winograd's form, also where that is more work.
bool tiles_agree(const Case& c, const Expected& expected, const Kernels& kernels, rgp::Layer layer) {
  if (layer.winograd.empty()) rgp::add_winograd(layer);
  const Buffer x(c.x, c.place), added(c.residual, c.place), y(c.outputs(), c.place);
  std::unique_ptr<Buffer> scratch;
  rgp::run_winograd(layer, kernels, c.im, x.data, c.residual.empty() ? nullptr : added.data, y.data,
                    tasks_for(c.threads, c.number), [&](size_t bytes) {
                      scratch = std::make_unique<Buffer>((bytes + sizeof(float) - 1) / sizeof(float), c.place);
                      return scratch->data;
                    });
  for (size_t i = 0; i < c.outputs(); ++i) {
    if (expected.allows_by_tiles(i, y.data[i])) continue;
    std::fprintf(stderr, "stress: y[%zu] by Winograd is %.9g, not %.9g; the bound is %.3g\n", i, y.data[i], expected.y[i],
                 kTolerance * expected.of_tiles[i]);
    return false;
  }
  return true;
}

bool agrees(const Case& c, Expected expected, const Kernels& kernels) {
  const rgp::Layer layer =
      rgp::make_layer(c.g, kernels, c.weight.data(), c.bias.empty() ? nullptr : c.bias.data(), c.low, c.high);
  expected.meet_zeros(c, layer);
  const Buffer x(c.x, c.place), added(c.residual, c.place), y(c.outputs(), c.place);
  const float* residual = c.residual.empty() ? nullptr : added.data;
  run_once(c, layer, kernels, x.data, residual, y.data, c.threads);
  const bool by_tiles = !layer.winograd.empty() && rgp::winograd_fits(layer, kernels, c.im);
  for (size_t i = 0; i < c.outputs(); ++i) {
    if (by_tiles ? expected.allows_by_tiles(i, y.data[i]) : expected.allows(i, y.data[i])) continue;
    const size_t width = c.im.out_width, height = c.im.out_height, pixel = i % (width * height);
    std::fprintf(stderr, "stress: y[%zu, %zu, %zu, %zu] is %.9g, not %.9g; the bound is %.3g\n",
                 i / (width * height) / c.g.outputs, i / (width * height) % c.g.outputs, pixel / width, pixel % width,
                 y.data[i], expected.y[i], kTolerance * expected.bound[i]);
    return false;
  }
  if (c.crowd && !crowd_agrees(c, layer, kernels, residual)) {
    std::fprintf(stderr, "stress: eight threads at once get another result than one by one\n");
    return false;
  }
  return !Expected::by_tiles(c) || c.outputs() == 0 || tiles_agree(c, expected, kernels, layer);
}

// In bfloat16 a result is a rounding from the plain one, which was summed in double.
bool bf16_agrees(const Case& c, const Kernels& kernels) {
  const Bf16Case half(c);
  const float* bias = c.bias.empty() ? nullptr : c.bias.data();
  const rgp::Layer layer = rgp::make_bf16_layer(c.g, kernels, half.weight.data(), bias, c.low, c.high);
  const auto plain = [&](const Bf16Case& values, const Floats& biases, float low, float high) {
    Floats y(c.outputs());
    rgp::bf16_reference(c.g, c.im, values.x.data(), values.weight.data(), biases.empty() ? nullptr : biases.data(),
                        values.residual.empty() ? nullptr : values.residual.data(), low, high, y.data());
    return y;
  };
  Bf16Case absolute = half;
  for (auto* values : {&absolute.x, &absolute.weight, &absolute.residual})
    for (uint16_t& v : *values) v &= 0x7fff;
  Floats sizes = c.bias;
  for (float& v : sizes) v = std::fabs(v);
  const Floats expected = plain(half, c.bias, c.low, c.high), bound = plain(absolute, sizes, -kInfinity, kInfinity);
  const BufferOf<uint16_t> x(half.x, c.place), added(half.residual, c.place), y(c.outputs(), c.place),
      again(c.outputs(), c.place);
  const void* residual = half.residual.empty() ? nullptr : added.data;
  std::thread other;
  if (c.crowd) other = std::thread([&] { run_once(c, layer, kernels, x.data, residual, again.data, 2); });
  run_once(c, layer, kernels, x.data, residual, y.data, c.threads);
  if (c.crowd) other.join();
  for (size_t i = 0; i < c.outputs(); ++i) {
    const uint32_t bits = uint32_t{y.data[i]} << 16;
    float got;
    std::memcpy(&got, &bits, sizeof(got));
    const bool near = std::fabs(double{got} - expected[i]) <= std::fabs(expected[i]) / 256 + kTolerance * bound[i] + 1e-37;
    if (near && (!c.crowd || again.data[i] == y.data[i])) continue;
    std::fprintf(stderr, "stress: y[%zu] is %.9g, not %.9g%s\n", i, got, expected[i],
                 near ? "; two calls at once differ" : "");
    return false;
  }
  return true;
}

// In int8 every bit must be right. Threads are those of the case, and two more calls at once where it has a crowd.
bool int8_agrees(const Case& c, const Kernels& kernels) {
  const Int8Case int8(c);
  const rgp::Layer layer = rgp::make_int8_layer(c.g, kernels, int8.numbers());
  Bytes expected(c.outputs());
  rgp::int8_reference(c.g, c.im, int8.x.data(), int8.numbers(), expected.data());
  const BufferOf<uint8_t> x(int8.x, c.place), y(c.outputs(), c.place), again(c.outputs(), c.place);
  std::thread other;
  if (c.crowd) other = std::thread([&] { run_once(c, layer, kernels, x.data, nullptr, again.data, 2); });
  run_once(c, layer, kernels, x.data, nullptr, y.data, c.threads);
  if (c.crowd) other.join();
  for (const uint8_t* got : {y.data, c.crowd ? again.data : y.data})
    for (size_t i = 0; i < c.outputs(); ++i)
      if (got[i] != expected[i]) {
        std::fprintf(stderr, "stress: y[%zu] is %d, not %d; zero points %d and %d\n", i, got[i], expected[i], int8.x_zero,
                     int8.y_zero);
        return false;
      }
  return true;
}

// The best instruction set, or the one so named; throws if this CPU does not run it.
const Kernels& kernels_named(const char* name) {
  setenv("RGP_ISA", name, 1);
  return rgp::kernels();
}

std::vector<const Kernels*> offered() {
  std::vector<const Kernels*> found;
  for (const char* name : {"avx512", "avx2", "neon", "portable"}) try {
      found.push_back(&kernels_named(name));
    } catch (const std::invalid_argument&) {  // not of this CPU
    }
  return found;
}

template <class Error, class Work>
void must_throw(const char* what, Work work) {
  try {
    work();
  } catch (const Error&) {
    return;
  }
  throw std::logic_error(std::string("was accepted: ") + what);
}

// What cannot be is refused, and what fails inside of a call comes out of it.
void check_refusals(const Kernels& kernels) {
  const Geometry good{3, 2, 3, 3, 1, 1, 1, 0, 1, 0};
  const Floats weight(2 * 3 * 3 * 3, 1), x(3 * 4 * 4, 1);
  Floats y(2 * 4 * 2);
  for (int64_t Geometry::*side : {&Geometry::channels, &Geometry::outputs, &Geometry::kernel_h, &Geometry::kernel_w,
                                  &Geometry::stride_h, &Geometry::stride_w})
    for (int64_t bad : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::max()})
      must_throw<std::invalid_argument>("a side", [&] {
        Geometry g = good;
        g.*side = bad;
        rgp::make_layer(g, kernels, weight.data(), nullptr, 0, 1);
      });
  for (int64_t Geometry::*pad : {&Geometry::top, &Geometry::left, &Geometry::bottom, &Geometry::right})
    must_throw<std::invalid_argument>("a padding", [&] {
      Geometry g = good;
      g.*pad = -1;
      rgp::make_layer(g, kernels, weight.data(), nullptr, 0, 1);
    });
  must_throw<std::bad_alloc>("no memory", [&] {
    rgp::run(rgp::make_layer(good, kernels, weight.data(), nullptr, 0, 1), kernels, {1, 4, 4, 4, 2}, x.data(), nullptr,
             y.data(), tasks_for(0, 0), [](size_t) -> void* { throw std::bad_alloc(); });
  });
}

}  // namespace

extern "C" void __sanitizer_set_death_callback(void (*)()) __attribute__((weak));

int main(int argc, char** argv) {
  uint64_t cases = 200, seed = 1;
  std::vector<const Kernels*> sets = offered();
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--cases") {
      cases = std::stoull(value);
    } else if (option == "--seed") {
      seed = std::stoull(value);
    } else if (option == "--isa") {
      sets = {&kernels_named(value.c_str())};
    } else {
      std::fprintf(stderr, "usage: stress [--cases N] [--seed S] [--isa NAME]\n");
      return 2;
    }
  }
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(number, &action, &before[number]);
  }
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(tell_case);

  // beside the sets themselves, those for other types
  std::vector<std::pair<const Kernels*, bool (*)(const Case&, const Kernels&)>> others;
  for (const Kernels* kernels : sets) {
    kernels_named(kernels->name);
    if (const Kernels* bf16 = rgp::bf16_kernels()) others.emplace_back(bf16, bf16_agrees);
    if (const Kernels* int8 = rgp::int8_kernels()) others.emplace_back(int8, int8_agrees);
  }
  must_throw<std::invalid_argument>("an instruction set that there is not", [] { kernels_named("mmx"); });
  for (const Kernels* kernels : sets) check_refusals(*kernels);
  for (uint64_t number = seed; number < seed + cases; ++number) {
    const Case c = make_case(number);
    const Expected expected(c);
    for (const Kernels* kernels : sets) {
      std::snprintf(at_work, sizeof at_work, "%s, %s", c.words().c_str(), kernels->name);
      if (!agrees(c, expected, *kernels)) {
        tell_case();
        return 1;
      }
    }
    for (const auto& [kernels, its_agrees] : others) {
      std::snprintf(at_work, sizeof at_work, "%s, %s", c.words().c_str(), kernels->name);
      if (!its_agrees(c, *kernels)) {
        tell_case();
        return 1;
      }
    }
  }
  for (const auto& other : others) sets.push_back(other.first);
  for (const Kernels* kernels : sets)
    std::printf("%s: %llu cases\n", kernels->name, static_cast<unsigned long long>(cases));
  std::printf("ok\n");
}
