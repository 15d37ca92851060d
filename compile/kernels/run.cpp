// One call: decide how the input is read, cut the output into tasks, let the threads claim them.
//
// In place: where output and input have the same size (stride 1, "same" padding) a tap is a shift, and lanes that would
// read outside of the image are masked off. Flat: the input is copied first, for each tap column a plane with rows as
// wide as the output's (and for each row phase of the stride): again every tap is a shift, and output pixels follow
// each other without gaps. Tall: copied into planes with a border of zeros and whole vectors to a row. And where it is
// less work, another way altogether: Winograd (winograd.cpp).
#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <thread>

#include "graph_conv.h"

namespace rgp {
namespace {

constexpr int64_t kTasks = 32;              // a call is cut into about so many: threads claim them as they get on
constexpr size_t kWorkers = 64;             // at most so many threads work on a call; those without work return
constexpr int64_t kBlockBytes = 512 << 10;  // input of one task, to stay in the second-level cache

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How a call reads its input: planes, and a shift for each tap (for each tap column, if tall).
struct Source {
  const float* x;
  ptrdiff_t plane;              // floats from one channel to the next
  ptrdiff_t image;              // from one image of the batch to the next
  std::vector<ptrdiff_t> shifts;
  std::vector<uint16_t> masks;  // [tap][vector], or empty
  ptrdiff_t row, phase;         // tall only
  size_t packs = 0;             // pack(0) to pack(packs - 1) fill the planes, in any order, on any thread
  std::function<void(size_t)> pack;
};

// Sets bits first .. first + count - 1 of a row of 16-bit words.
void set_bits(uint16_t* words, int64_t first, int64_t count) {
  while (count > 0) {
    const int64_t bit = first % 16, n = std::min<int64_t>(16 - bit, count);
    words[first / 16] |= static_cast<uint16_t>(((1u << n) - 1) << bit);
    first += n;
    count -= n;
  }
}

Source in_place(const Geometry& g, const Image& im, const void* pixels, int64_t vectors) {
  const float* x = static_cast<const float*>(pixels);
  Source s{x, im.height * im.width, g.channels * im.height * im.width, {}, {}, 0, 0, 0, {}};
  const bool pointwise = g.kernel_h == 1 && g.kernel_w == 1;
  if (!pointwise) s.masks.assign(g.kernel_h * g.kernel_w * vectors, 0);
  for (int64_t i = 0; i < g.kernel_h; ++i)
    for (int64_t j = 0; j < g.kernel_w; ++j) {
      const int64_t dy = i - g.top, dx = j - g.left;
      s.shifts.push_back(dy * im.width + dx);
      if (pointwise) continue;
      uint16_t* words = s.masks.data() + (s.shifts.size() - 1) * vectors;
      const int64_t from_x = std::max<int64_t>(0, -dx), to_x = std::min(im.width, im.width - dx);
      const int64_t from_y = std::max<int64_t>(0, -dy), to_y = std::min(im.height, im.height - dy);
      for (int64_t y = from_y; y < to_y; ++y) set_bits(words, y * im.width + from_x, to_x - from_x);
    }
  return s;
}

// The first i with i * stride >= before, and the first with i * stride >= side + before, at most `most`.
std::pair<int64_t, int64_t> inside(int64_t before, int64_t side, int64_t stride, int64_t most) {
  const int64_t from = std::clamp<int64_t>(ceil_div(std::max<int64_t>(before, 0), stride), 0, most);
  return {from, std::clamp<int64_t>(ceil_div(std::max<int64_t>(side + before, 0), stride), from, most)};
}

// What stands for zero in a copy.
float blank_word(const Layer& layer) {
  const uint32_t word = layer.x_zero * 0x01010101u;
  float blank;
  std::memcpy(&blank, &word, sizeof(blank));
  return blank;
}

// Copies the input into planes, for each channel [column][row phase][row][pixel], rows `wide` floats apart. The columns
// are one for each tap column, or, if `shared`, one for each column phase of the stride: then a tap column is a shift.
Source packed(const Layer& layer, const Kernels& kernels, const Image& im, const void* x, int64_t wide, bool shared,
              const Allocate& allocate) {
  const Geometry& g = layer.geometry;
  const int64_t columns = shared ? std::min(g.stride_w, g.kernel_w) : g.kernel_w;
  const int64_t phases = std::min(g.stride_h, g.kernel_h);
  const int64_t rows = im.out_height + (g.kernel_h - 1) / g.stride_h;
  const int64_t count = im.out_width + (shared ? (g.kernel_w - 1) / g.stride_w : 0);
  const int64_t plane = columns * phases * rows * wide, planes = im.batch * g.channels;
  // whole tiles are read, so beyond the last plane there is room for one
  const int64_t room = kMaxVectors * kernels.lanes;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(planes, plane, &bytes) || __builtin_add_overflow(bytes, room, &bytes) ||
      __builtin_mul_overflow(bytes, int64_t{sizeof(float)}, &bytes))
    throw std::bad_alloc();
  float* out = static_cast<float*>(allocate(bytes));
  const int64_t in_plane = im.height * im.width, size = layer.element();
  const float blank = blank_word(layer);
  std::fill_n(out + planes * plane, room, blank);
  const int64_t each = ceil_div(planes, kTasks);
  const auto pack = [=, &g, &im, &kernels, &layer](size_t task) {
    for (int64_t c = task * each; c < std::min<int64_t>(planes, (task + 1) * each); ++c) {
      const int64_t image = c / g.channels, channel = c % g.channels;
      const char* in = static_cast<const char*>(x);
      Rows rows_of{};
      if (layer.together > 1) {
        in += image * layer.inputs * in_plane * size;
        for (int i = 0; i < layer.together; ++i)
          rows_of.channels[i] = layer.members[layer.together * channel + i] * in_plane;
      } else {
        in += c * in_plane * size;
      }
      float* to = out + c * plane;
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t phase = 0; phase < phases; ++phase, to += rows * wide) {
          const auto [first_row, end_row] = inside(g.top - phase, im.height, g.stride_h, rows);
          const auto [first, end] = inside(g.left - j, im.width, g.stride_w, count);
          std::fill(to, to + first_row * wide, blank);
          const int64_t y = first_row * g.stride_h + phase - g.top;
          rows_of.in = in + (y * im.width + j - g.left) * size;
          rows_of.in_row = g.stride_h * im.width;
          rows_of.out = to + first_row * wide;
          rows_of.out_row = wide;
          rows_of.rows = end_row - first_row;
          rows_of.from = first;
          rows_of.to = end;
          rows_of.count = count;
          rows_of.stride = g.stride_w;
          rows_of.blank = blank;
          kernels.pack(rows_of);
          std::fill(to + end_row * wide, to + rows * wide, blank);
        }
    }
  };
  return {out, plane, g.channels * plane, {}, {}, wide, rows * wide, static_cast<size_t>(ceil_div(planes, each)), pack};
}

Source flat(const Layer& layer, const Kernels& kernels, const Image& im, const void* x, const Allocate& allocate) {
  const Geometry& g = layer.geometry;
  Source s = packed(layer, kernels, im, x, im.out_width, false, allocate);
  const int64_t phases = std::min(g.stride_h, g.kernel_h);
  const auto shift = [&](int64_t i, int64_t j) {
    return (j * phases + i % g.stride_h) * s.phase + i / g.stride_h * s.row;
  };
  if (layer.by_tap) {
    for (int64_t i = 0; i < g.kernel_h; ++i)
      for (int64_t j = 0; j < g.kernel_w; ++j) s.shifts.push_back(shift(i, j));
  } else {
    for (int64_t j = 0; j < g.kernel_w; ++j)
      for (int64_t i = 0; i < g.kernel_h; ++i) s.shifts.push_back(shift(i, j));
  }
  return s;
}

Source tall(const Layer& layer, const Kernels& kernels, const Image& im, const void* x, const Allocate& allocate) {
  const Geometry& g = layer.geometry;
  const int64_t count = im.out_width + (g.kernel_w - 1) / g.stride_w;
  const int64_t wide = ceil_div(count, kernels.lanes) * kernels.lanes;
  Source s = packed(layer, kernels, im, x, wide, true, allocate);
  const int64_t phases = std::min(g.stride_h, g.kernel_h);
  for (int64_t j = 0; j < g.kernel_w; ++j) s.shifts.push_back(j % g.stride_w * phases * s.phase + j / g.stride_w);
  return s;
}

template <class Table>
int largest(const Table& tiles) {
  int most = 0;
  for (int n = 1; n < static_cast<int>(std::size(tiles)); ++n)
    if (tiles[n]) most = n;
  return most;
}

// Everything that the tasks of one call share.
struct Call {
  const Layer& layer;
  const Kernels& kernels;
  const Image& image;
  const Source& source;
  const void* residual;
  void* y;
  int64_t pixels, vectors;  // of these the last in part, or, with a column, whole and one pixel more
  bool column;

  // Ends a tile at the image's last vector.
  void end(Tile& t) const {
    if (column) {
      t.column = true;
    } else {
      t.last = static_cast<int>(pixels - (vectors - 1) * kernels.lanes);
    }
  }

  // A tile at output pixel `at` of image `b`, for a strip that is set next.
  Tile tile(int64_t b, const float* x, int64_t at) const {
    const ptrdiff_t first = b * layer.geometry.outputs * pixels + at;
    Tile t{};
    t.x = x + b * source.image;
    t.x_plane = source.plane;
    t.shifts = source.shifts.data();
    t.taps = t.tap_columns = static_cast<int>(source.shifts.size());
    t.residual = residual ? static_cast<const char*>(residual) + first * layer.element() : nullptr;
    t.y = static_cast<char*>(y) + first * layer.element();
    t.y_plane = pixels;
    t.low = layer.low;
    t.high = layer.high;
    t.begins = t.ends = true;
    t.last = kernels.lanes;
    return t;
  }

  void set(Tile& t, const Strip& s) const {
    t.channels = layer.channels.data() + s.channels;
    t.fan_in = s.fan_in;
    t.weights = layer.weights.data() + s.weights;
    t.bias = s.bias;
    t.scale = s.scale;
    t.zero = layer.y_zero;
    t.small = layer.small;
    t.outputs = s.outputs;
  }

  // The vectors [first, end) of one image for some strips of a 1x1 convolution, panel by panel.
  void paint_panels(const Strip* from, const Strip* to, int64_t b, int64_t first, int64_t end) const {
    Tile t = tile(b, source.x + first * kernels.lanes, first * kernels.lanes);
    if (end == vectors) this->end(t);
    for (int panel = 0; panel < layer.panels; ++panel) {
      t.begins = panel == 0;
      t.ends = panel == layer.panels - 1;
      for (const Strip* s = from; s != to; ++s) {
        const int32_t* cut = layer.cuts.data() + s->cuts + panel;
        set(t, *s);
        t.channels += cut[0];
        t.weights += static_cast<ptrdiff_t>(cut[0]) * s->rows;
        t.fan_in = cut[1] - cut[0];
        kernels.flat[Kernels::kind(s->rows)][end - first](t);
      }
    }
  }

  // The vectors [first, end) of one image for one strip, in tiles of nearly equal size.
  void paint(const Strip& s, int64_t b, int64_t first, int64_t end) const {
    const TileFn* tiles = kernels.flat[Kernels::kind(s.rows)];
    int most = kernels.most_vectors(s.rows);
    if (!source.masks.empty()) most = std::min(most, kernels.most_masked);
    for (int64_t left = ceil_div(end - first, most); left > 0; --left) {
      const int64_t n = ceil_div(end - first, left), at = first * kernels.lanes;
      Tile t = tile(b, source.x + at, at);
      set(t, s);
      if (!source.masks.empty()) {
        t.masks = source.masks.data() + first;
        t.mask_stride = vectors + column;
      }
      if (first + n == vectors) this->end(t);
      tiles[n](t);
      first += n;
    }
  }

  // Rows [from, end) of pixels of one image for one strip, in tiles of nearly equal size.
  void paint_tall(const Strip& s, int64_t b, int64_t from, int64_t end) const {
    const auto& tiles = kernels.tall[layer.geometry.stride_h - 1][Kernels::kind(s.rows)];
    const int64_t across = ceil_div(image.out_width, kernels.lanes);
    for (int64_t first = 0; first < across;) {
      int64_t n = across - first;
      while (n > kMaxVectors || !tiles[n][1]) --n;
      const int most = largest(tiles[n]);
      int64_t row = from;
      for (int64_t left = ceil_div(end - from, most); left > 0; --left) {
        const int64_t tallness = ceil_div(end - row, left), at = first * kernels.lanes;
        Tile t = tile(b, source.x + row * source.row + at, row * image.out_width + at);
        set(t, s);
        t.x_row = source.row;
        t.x_phase = source.phase;
        t.y_row = image.out_width;
        if (first + n == across) t.last = static_cast<int>(image.out_width - (across - 1) * kernels.lanes);
        tiles[n][tallness](t);
        row += tallness;
      }
      first += n;
    }
  }
};

// Whether tall tiles fill their vectors about as well as flat ones, and exist for every strip.
bool tall_fits(const Layer& layer, const Kernels& kernels, const Image& im) {
  const Geometry& g = layer.geometry;
  if (layer.by_tap || g.kernel_h != 3 || g.stride_h > 2) return false;
  for (const Strip& s : layer.strips)
    if (!largest(kernels.tall[g.stride_h - 1][Kernels::kind(s.rows)][1])) return false;
  const int64_t lanes = kernels.lanes, across = ceil_div(im.out_width, lanes) * lanes;
  return im.out_width * 5 >= across * 4;
}

}  // namespace

void run(const Layer& layer, const Kernels& kernels, const Image& im, const void* x, const void* residual, void* y,
         const ParallelFor& parallel_for, const Allocate& allocate) {
  const Geometry& g = layer.geometry;
  const int64_t pixels = im.out_height * im.out_width, words = ceil_div(pixels, kernels.lanes);
  if (im.batch == 0 || pixels == 0) return;
  if (!layer.winograd.empty() && winograd_fits(layer, kernels, im))
    return run_winograd(layer, kernels, im, static_cast<const float*>(x), static_cast<const float*>(residual),
                        static_cast<float*>(y), parallel_for, allocate);
  const bool same = g.stride_h == 1 && g.stride_w == 1 && im.height == im.out_height && im.width == im.out_width;
  const bool pointwise = g.kernel_h == 1 && g.kernel_w == 1;
  const bool is_tall = tall_fits(layer, kernels, im);
  const bool reads_in_place = layer.together == 1 && same && (pointwise || (kernels.most_masked && layer.by_tap));
  const Source source = is_tall          ? tall(layer, kernels, im, x, allocate)
                        : reads_in_place ? in_place(g, im, x, words)
                                         : flat(layer, kernels, im, x, allocate);
  const bool column = layer.by_tap && pixels % kernels.lanes == 1 && words > 1 && words - 1 <= kernels.most_columned;
  const int64_t vectors = words - column;
  const Call call{layer, kernels, im, source, residual, y, pixels, vectors, column};

  const int64_t strips = static_cast<int64_t>(layer.strips.size());
  const int64_t bytes = g.channels * kernels.lanes * static_cast<int64_t>(sizeof(float));
  const int64_t units = is_tall ? ceil_div(im.out_height, kMaxTall) : vectors;
  const int64_t blocks = pointwise ? std::min(ceil_div(vectors, layer.panel_vectors), ceil_div(kTasks, im.batch))
                                   : std::clamp<int64_t>(ceil_div(bytes * vectors, kBlockBytes), 1, units);
  const int64_t chunks = std::clamp<int64_t>(ceil_div(kTasks, blocks * im.batch), 1, strips);
  const auto compute = [&](int64_t task) {
    const int64_t chunk = task % chunks, block = task / chunks % blocks, image = task / chunks / blocks;
    const Strip* const first = layer.strips.data() + strips * chunk / chunks;
    const Strip* const end = layer.strips.data() + strips * (chunk + 1) / chunks;
    const int64_t all = is_tall ? im.out_height : vectors, from = all * block / blocks, to = all * (block + 1) / blocks;
    if (pointwise) {
      int64_t at = from;
      for (int64_t left = ceil_div(to - from, layer.panel_vectors); left > 0; --left) {
        const int64_t until = at + ceil_div(to - at, left);
        call.paint_panels(first, end, image, at, until);
        at = until;
      }
      return;
    }
    for (const Strip* s = first; s != end; ++s)
      is_tall ? call.paint_tall(*s, image, from, to) : call.paint(*s, image, from, to);
  };

  // Starting threads costs as much as a small layer, so both steps share one start. Tasks are claimed in order: when
  // the first computes, every pack has been claimed by a thread that is at work on it.
  const size_t tasks = source.packs + static_cast<size_t>(im.batch * blocks * chunks);
  std::atomic<size_t> next{0}, packed{0};
  parallel_for(kWorkers, [&](size_t) {
    for (size_t task = next++; task < tasks; task = next++) {
      if (task < source.packs) {
        source.pack(task);
        packed.fetch_add(1, std::memory_order_release);
      } else {
        while (packed.load(std::memory_order_acquire) < source.packs) std::this_thread::yield();
        compute(static_cast<int64_t>(task - source.packs));
      }
    }
  });
}

}  // namespace rgp
