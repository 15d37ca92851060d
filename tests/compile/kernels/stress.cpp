// Compares the kernel, in every instruction set that this CPU runs, with the plain loops, over random cases.
//
//   stress [--cases N] [--seed S] [--isa NAME]
//
// Case i is made from the number S + i alone, so a failing case comes again with `--seed ITS-NUMBER --cases 1`.
//
// A wrong read or write shows in one of three ways: AddressSanitizer watches heap blocks of the exact size, but not what
// intrinsics do under a mask; so other cases lie at the edge of a page that nobody may touch; and outputs and scratch
// are full of NaN at first, so that a value never written, or used before it was, is seen in the result.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

#include "graph_conv.h"

namespace {

using rgp::Geometry;
using rgp::Image;
using rgp::Kernels;
using Floats = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr double kTolerance = 1e-5;  // of the sum of absolute products

char at_work[1024];  // the case that runs, for whoever ends the program

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

// Floats with something on either side that must not be touched.
enum class Place { heap, ends_at_guard, begins_at_guard };

class Buffer {
 public:
  Buffer(size_t count, Place place) {
    const size_t page = sysconf(_SC_PAGESIZE), bytes = count * sizeof(float);
    if (place == Place::heap) {
      data = static_cast<float*>(std::malloc(bytes));
    } else {
      inner_ = (bytes + page - 1) / page * page;
      mapped_ = static_cast<char*>(mmap(nullptr, inner_ + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      if (mapped_ == MAP_FAILED) throw std::bad_alloc();
      if (inner_) mprotect(mapped_ + page, inner_, PROT_READ | PROT_WRITE);
      const size_t gap = place == Place::ends_at_guard ? inner_ - bytes : 0;
      data = reinterpret_cast<float*>(mapped_ + page + gap);
    }
    std::fill_n(data, count, kNaN);
  }
  Buffer(const Floats& values, Place place) : Buffer(values.size(), place) {
    std::copy(values.begin(), values.end(), data);
    if (mapped_ && inner_) mprotect(mapped_ + sysconf(_SC_PAGESIZE), inner_, PROT_READ);
  }
  ~Buffer() {
    if (mapped_) {
      munmap(mapped_, inner_ + 2 * sysconf(_SC_PAGESIZE));
    } else {
      std::free(data);
    }
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  float* data;

 private:
  char* mapped_ = nullptr;
  size_t inner_ = 0;
};

struct Random {
  std::mt19937_64 engine;

  int64_t below(int64_t n) { return static_cast<int64_t>(engine() % static_cast<uint64_t>(n)); }
  bool chance(int64_t percent) { return below(100) < percent; }
  int64_t one_of(std::initializer_list<int64_t> values) { return values.begin()[below(values.size())]; }
  float value() { return static_cast<float>(below(1 << 24)) / (1 << 23) - 1; }  // from -1 to 1
  Floats values(size_t count) {
    Floats found(count);
    for (float& v : found) v = value();
    return found;
  }
};

struct Case {
  uint64_t number;
  Geometry g;
  Image im;
  Floats weight, bias, x, residual;  // bias and residual may be empty
  int64_t blocks;                    // (output, channel) with a weight that is not zero
  float low, high;
  Place place;
  int threads;  // of the call; 0: tasks in a random order on this thread
  bool crowd;   // also by eight threads at once

  size_t outputs() const { return im.batch * g.outputs * im.out_height * im.out_width; }
  std::string words() const;
};

std::string Case::words() const {
  const auto list = [](std::initializer_list<int64_t> values) {
    std::string text;
    for (int64_t v : values) text += (text.empty() ? "(" : ", ") + std::to_string(v);
    return text + ")";
  };
  const char* const places[] = {"the heap", "before a guard page", "behind a guard page"};
  return "case " + std::to_string(number) + ": x " + list({im.batch, g.channels, im.height, im.width}) + ", weight " +
         list({g.outputs, g.channels, g.kernel_h, g.kernel_w}) + " with " + std::to_string(blocks) +
         " blocks that are not zero, strides " + list({g.stride_h, g.stride_w}) + ", pads (top, left, bottom, right) " +
         list({g.top, g.left, g.bottom, g.right}) + ", y " +
         list({im.batch, g.outputs, im.out_height, im.out_width}) + (bias.empty() ? "" : ", bias") +
         (residual.empty() ? "" : ", residual") + ", from " + std::to_string(low) + " to " + std::to_string(high) +
         ", on " + places[static_cast<int>(place)] + ", " + std::to_string(threads) + " threads";
}

// Sizes around what the kernel distinguishes: lanes, rows of a strip, in place or copied, panels, blocks.
void draw_sizes(Random& random, Case& c) {
  const auto side = [&] {
    return random.chance(60) ? random.one_of({1, 2, 3, 4, 5, 7, 8, 9, 12, 14, 15, 16, 17, 28, 31, 32, 33, 40})
                             : 1 + random.below(40);
  };
  const auto kernel = [&] { return random.one_of({1, 2, 3, 3, 3, 5, 7}); };
  Geometry& g = c.g;
  Image& im = c.im;
  const int kind = static_cast<int>(random.below(100));
  int64_t budget = 2'000'000;  // multiply-adds of the plain loops
  im.batch = random.one_of({1, 1, 1, 2, 3});
  im.height = side();
  im.width = side();
  g.channels = random.one_of({1, 2, 3, 5, 7, 8, 13, 16, 17, 23, 31, 32, 64});
  g.outputs = random.chance(50) ? 8 * (1 + random.below(6)) : random.one_of({1, 2, 3, 4, 5, 7, 11, 13, 29, 31});
  g.kernel_h = kernel();
  g.kernel_w = random.chance(60) ? g.kernel_h : kernel();
  if (kind < 28) g.kernel_h = g.kernel_w = 1;
  if (kind < 14) {  // so many channels that they are taken in panels
    g.channels = 150 + random.below(1700);
    budget *= 2;
  } else if (kind >= 92) {  // so much input that an image is cut into blocks
    im.height = 30 + random.below(11);
    im.width = 30 + random.below(11);
    g.channels = 90 + random.below(60);
    g.outputs = random.one_of({1, 3, 8, 16});
    budget *= 10;
  } else if (kind >= 70) {  // rows that fill one to five vectors
    g.kernel_h = 3;
    im.width = random.one_of({8, 13, 15, 16, 24, 31, 32, 40, 45, 48, 56, 63, 64, 80});
  }
  const bool same = random.chance(40);
  g.stride_h = same ? 1 : random.one_of({1, 1, 2, 2, 3});
  g.stride_w = same ? 1 : random.chance(60) ? g.stride_h : random.one_of({1, 2, 3});
  g.top = random.below(same ? g.kernel_h : 4);
  g.left = random.below(same ? g.kernel_w : 4);
  g.bottom = same ? g.kernel_h - 1 - g.top : random.below(4);
  g.right = same ? g.kernel_w - 1 - g.left : random.below(4);
  if (random.chance(10)) im.height = g.kernel_h - g.top - g.bottom;  // a kernel as large as the padded image
  if (random.chance(10)) im.width = g.kernel_w - g.left - g.right;
  im.out_height = rgp::output_side(im.height, g.top, g.bottom, g.kernel_h, g.stride_h);
  im.out_width = rgp::output_side(im.width, g.left, g.right, g.kernel_w, g.stride_w);
  const int64_t work = c.outputs() * g.channels * g.kernel_h * g.kernel_w;
  if (im.height < 1 || im.width < 1 || work < 1 || work > budget) return draw_sizes(random, c);
  if (random.chance(2)) im.batch = 0;
}

// Who reads whom: under a graph of nodes (all of one degree, or each of its own, 0 too) or each output for itself.
void draw_graph(Random& random, Case& c) {
  const Geometry& g = c.g;
  const bool by_node = random.chance(80), regular = random.chance(60);
  int64_t nodes = by_node ? random.one_of({1, 2, 3, 4, 5, 8, 16}) : g.outputs;
  if (by_node && random.chance(70)) nodes = std::max<int64_t>(1, g.outputs / random.one_of({1, 2, 2, 4, 8, 8, 16}));
  const int64_t degree = 1 + random.below(std::min<int64_t>(nodes, 6));
  std::vector<int64_t> order(nodes);
  std::iota(order.begin(), order.end(), 0);
  std::vector<char> adjacency(nodes * nodes);
  for (int64_t i = 0; i < nodes; ++i) {
    std::shuffle(order.begin(), order.end(), random.engine);
    const int64_t count = regular ? degree : random.below(nodes + 1);
    for (int64_t k = 0; k < count; ++k) adjacency[i * nodes + order[k]] = 1;
  }
  const int64_t zeros = random.one_of({0, 0, 0, 2, 20});  // percent, inside of what is joined: twins are parted
  for (int64_t o = 0; o < g.outputs; ++o)
    for (int64_t ch = 0; ch < g.channels; ++ch) {
      const bool joined = adjacency[o * nodes / g.outputs * nodes + ch * nodes / g.channels];
      bool any = false;
      for (int64_t tap = 0; tap < g.kernel_h * g.kernel_w; ++tap) {
        const float w = joined && !random.chance(zeros) ? random.value() : 0;
        any |= w != 0;
        c.weight.push_back(w);
      }
      c.blocks += any;
    }
}

Case make_case(uint64_t number) {
  Random random{std::mt19937_64(number)};
  Case c{};
  c.number = number;
  draw_sizes(random, c);
  draw_graph(random, c);
  if (random.chance(80)) c.bias = random.values(c.g.outputs);
  if (random.chance(40)) c.residual = random.values(c.outputs());
  c.x = random.values(c.im.batch * c.g.channels * c.im.height * c.im.width);
  if (random.chance(25))
    for (Floats* values : {&c.x, &c.x, &c.x, &c.residual})
      if (!values->empty())
        (*values)[random.below(values->size())] = random.chance(50) ? kNaN : random.chance(50) ? kInfinity : -kInfinity;
  c.low = random.chance(60) ? 0 : -kInfinity;
  c.high = c.low == 0 && random.chance(40) ? 6 : kInfinity;
  c.place = static_cast<Place>(random.below(3));
  c.threads = random.chance(15) ? 3 : 0;
  c.crowd = random.chance(6);
  return c;
}

// What must come out: the plain loops, and how far from them (they again, on absolute values).
struct Expected {
  Floats y, bound;

  explicit Expected(const Case& c) : y(c.outputs()), bound(c.outputs()) {
    plain(c, c.x, c.weight, c.bias, c.residual, c.low, c.high, y);
    const auto absolute = [](Floats values) {
      for (float& v : values) v = std::fabs(v);
      return values;
    };
    plain(c, absolute(c.x), absolute(c.weight), absolute(c.bias), absolute(c.residual), -kInfinity, kInfinity, bound);
  }

  static void plain(const Case& c, const Floats& x, const Floats& weight, const Floats& bias, const Floats& residual,
                    float low, float high, Floats& y) {
    rgp::reference(c.g, c.im, x.data(), weight.data(), bias.empty() ? nullptr : bias.data(),
                   residual.empty() ? nullptr : residual.data(), low, high, y.data());
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
  return [threads](size_t count, const std::function<void(size_t)>& work) {
    std::atomic<size_t> next{0};
    std::vector<std::thread> pool;
    for (int i = 0; i < threads; ++i)
      pool.emplace_back([&] {
        for (size_t task = next++; task < count; task = next++) work(task);
      });
    for (std::thread& thread : pool) thread.join();
  };
}

// Like the op, it gives scratch once a call.
void run_once(const Case& c, const rgp::Layer& layer, const Kernels& kernels, const float* x, const float* residual,
              float* y, int threads) {
  std::unique_ptr<Buffer> scratch;
  rgp::run(layer, kernels, c.im, x, residual, y, tasks_for(threads, c.number), [&](size_t bytes) {
    if (scratch) throw std::logic_error("asked for scratch twice");
    scratch = std::make_unique<Buffer>((bytes + sizeof(float) - 1) / sizeof(float), c.place);
    return scratch->data;
  });
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

bool agrees(const Case& c, Expected expected, const Kernels& kernels) {
  const rgp::Layer layer =
      rgp::make_layer(c.g, kernels, c.weight.data(), c.bias.empty() ? nullptr : c.bias.data(), c.low, c.high);
  expected.meet_zeros(c, layer);
  const Buffer x(c.x, c.place), added(c.residual, c.place), y(c.outputs(), c.place);
  const float* residual = c.residual.empty() ? nullptr : added.data;
  run_once(c, layer, kernels, x.data, residual, y.data, c.threads);
  for (size_t i = 0; i < c.outputs(); ++i) {
    if (expected.allows(i, y.data[i])) continue;
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
  }
  for (const Kernels* kernels : sets)
    std::printf("%s: %llu cases\n", kernels->name, static_cast<unsigned long long>(cases));
  std::printf("ok\n");
}
