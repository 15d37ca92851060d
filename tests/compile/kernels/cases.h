// Random layers and images, of sizes around what the kernel distinguishes. A case is made from its number alone.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>

#include "buffer.h"
#include "graph_conv.h"

using rgp::Geometry;
using rgp::Image;
using Floats = std::vector<float>;
using Bytes = std::vector<uint8_t>;

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();

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

inline std::string Case::words() const {
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
inline void draw_sizes(Random& random, Case& c) {
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
  if (kind >= 89 && kind < 92) {  // rows that are nothing but padding, of more vectors than are read behind a copy
    g.kernel_w = 3;
    g.stride_h = g.stride_w = 1;
    g.top = 6 + random.below(12);
    g.left = g.right = 0;
    im.height = 1 + random.below(8);
    im.width = random.one_of({64, 240, 256});
    g.channels = 1 + random.below(8);
    g.outputs = 1 + random.below(7);
  }
  if (random.chance(10)) im.height = g.kernel_h - g.top - g.bottom;  // a kernel as large as the padded image
  if (random.chance(10)) im.width = g.kernel_w - g.left - g.right;
  im.out_height = rgp::output_side(im.height, g.top, g.bottom, g.kernel_h, g.stride_h);
  im.out_width = rgp::output_side(im.width, g.left, g.right, g.kernel_w, g.stride_w);
  const int64_t work = c.outputs() * g.channels * g.kernel_h * g.kernel_w;
  if (im.height < 1 || im.width < 1 || work < 1 || work > budget) return draw_sizes(random, c);
  if (random.chance(2)) im.batch = 0;
}

// Who reads whom: under a graph of nodes (all of one degree, or each of its own, 0 too) or each output for itself.
inline void draw_graph(Random& random, Case& c) {
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

inline Case make_case(uint64_t number) {
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

// A case in bfloat16: the numbers as they are, cut off; those that are not finite are 1.
struct Bf16Case {
  std::vector<uint16_t> weight, x, residual;

  explicit Bf16Case(const Case& c) : weight(halves(c.weight)), x(halves(c.x)), residual(halves(c.residual)) {}

  static std::vector<uint16_t> halves(const Floats& values) {
    std::vector<uint16_t> found;
    for (float v : values) {
      if (!std::isfinite(v)) v = 1;
      uint32_t bits;
      std::memcpy(&bits, &v, sizeof(bits));
      found.push_back(static_cast<uint16_t>(bits >> 16));
    }
    return found;
  }
};

// A case in int8: the same reads, its numbers drawn anew.
struct Int8Case {
  std::vector<int8_t> weight;
  std::vector<int32_t> bias;
  Floats scale;
  Bytes x;
  uint8_t x_zero, y_zero;

  explicit Int8Case(const Case& c) {
    Random random{std::mt19937_64(c.number)};
    for (float w : c.weight) weight.push_back(w == 0 ? 0 : static_cast<int8_t>(random.below(256) - 128));
    for (int64_t o = 0; o < c.g.outputs; ++o) {
      if (!c.bias.empty()) bias.push_back(static_cast<int32_t>(random.below(20'001) - 10'000));
      scale.push_back(random.chance(5) ? 1e9f : 1e-4f * static_cast<float>(1 + random.below(100)));
    }
    for (size_t i = 0; i < c.x.size(); ++i) x.push_back(static_cast<uint8_t>(random.below(256)));
    x_zero = static_cast<uint8_t>(random.one_of({0, 0, 1, 114, 255}));
    y_zero = static_cast<uint8_t>(random.one_of({0, 0, 1, 128, 255}));
  }

  rgp::Int8 numbers() const {
    return {weight.data(), bias.empty() ? nullptr : bias.data(), scale.data(), x_zero, y_zero};
  }
};
