// One call: decide how the input is read, cut the output into rounds and tasks, compute tile by tile.
//
// In place where that can be, else from a copy (source.h): flat, or tall. And where it is less work, another way
// altogether: Winograd (winograd.cpp).
#include <algorithm>
#include <new>

#include "rounds.h"
#include "source.h"

namespace rgp {
namespace {

constexpr int64_t kTasks = 32;              // a call is cut into about so many: threads claim them as they get on
constexpr int64_t kBlockBytes = 512 << 10;  // input of one task, to stay in the second-level cache

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

  // A tile at output pixel `at` of image `b`, for a strip that is set next. It reads from x on.
  Tile tile(int64_t b, const float* x, int64_t at) const {
    const ptrdiff_t first = b * layer.geometry.outputs * pixels + at;
    Tile t{};
    t.x = x;
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

  // The vectors [first, end) of one image, which begins at x, for some strips of a 1x1 convolution, panel by panel.
  void paint_panels(const Strip* from, const Strip* to, int64_t b, const float* x, int64_t first, int64_t end) const {
    Tile t = tile(b, x + first * kernels.lanes, first * kernels.lanes);
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

  // The vectors [first, end) of one image, which begins at x, for one strip, in tiles of nearly equal size.
  void paint(const Strip& s, int64_t b, const float* x, int64_t first, int64_t end) const {
    const TileFn* tiles = kernels.flat[Kernels::kind(s.rows)];
    int most = kernels.most_vectors(s.rows);
    if (!source.masks.empty()) most = std::min(most, kernels.most_masked);
    for (int64_t left = ceil_div(end - first, most); left > 0; --left) {
      const int64_t n = ceil_div(end - first, left), at = first * kernels.lanes;
      Tile t = tile(b, x + at, at);
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

  // Rows [from, end) of pixels of one image for one strip, in tiles of nearly equal size; x is where the first reads.
  void paint_tall(const Strip& s, int64_t b, const float* x, int64_t from, int64_t end) const {
    const auto& tiles = kernels.tall[layer.geometry.stride_h - 1][Kernels::kind(s.rows)];
    const int64_t across = ceil_div(image.out_width, kernels.lanes);
    for (int64_t first = 0; first < across;) {
      int64_t n = across - first;
      while (n > kMaxVectors || !tiles[n][1]) --n;
      const int most = largest(tiles[n]);
      int64_t row = from;
      for (int64_t left = ceil_div(end - from, most); left > 0; --left) {
        const int64_t tallness = ceil_div(end - row, left), at = first * kernels.lanes;
        Tile t = tile(b, x + (row - from) * source.row() + at, row * image.out_width + at);
        set(t, s);
        t.x_row = source.row();
        t.x_phase = source.phase();
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

// Room for so many floats so many times.
float* allocated(const Allocate& allocate, int64_t times, int64_t floats) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(times, floats, &bytes) ||
      __builtin_mul_overflow(bytes, static_cast<int64_t>(sizeof(float)), &bytes))
    throw std::bad_alloc();
  return static_cast<float*>(allocate(bytes));
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
  const bool column = layer.by_tap && pixels % kernels.lanes == 1 && words > 1 && words - 1 <= kernels.most_columned;
  const int64_t vectors = words - column, strips = static_cast<int64_t>(layer.strips.size());

  // A round is an image; or some rows of it, if tall; or some vectors, if in place: so many to an image. What one task
  // reads should stay near, so a round may have several blocks. Tasks are blocks, for some of the strips.
  int64_t to_image = 1, blocks = 1;
  Source source;
  if (is_tall) {
    const auto bytes = static_cast<int64_t>(sizeof(float)) * tall(layer, kernels, im, im.out_height).size;
    const int64_t enough = std::max(ceil_div(bytes, kBlockBytes), ceil_div(kRounds, im.batch));
    to_image = std::min(enough, ceil_div(im.out_height, kMaxTall));
    source = tall(layer, kernels, im, ceil_div(im.out_height, to_image));
  } else {
    const int64_t bytes = g.channels * kernels.lanes * static_cast<int64_t>(sizeof(float));
    const int64_t cut = pointwise ? std::min(ceil_div(vectors, layer.panel_vectors), ceil_div(kTasks, im.batch))
                                  : std::clamp<int64_t>(ceil_div(bytes * vectors, kBlockBytes), 1, vectors);
    (reads_in_place ? to_image : blocks) = cut;
    source = reads_in_place ? in_place(g, im, words) : flat(layer, kernels, im);
  }
  const int64_t sources = source.size ? std::min(g.channels, kTasks) : 0;
  const int64_t chunks = std::clamp<int64_t>(ceil_div(kTasks, im.batch * to_image * blocks), 1, strips);
  const Rounds rounds{im.batch * to_image, sources, blocks * chunks};
  float* const copies = source.size ? allocated(allocate, rounds.slots(), source.size) : nullptr;
  const Call call{layer, kernels, im, source, residual, y, pixels, vectors, column};

  const int64_t all = is_tall ? im.out_height : vectors, parts = to_image * blocks;  // of an image
  rounds.run(
      parallel_for,
      [&](int64_t round, int64_t task, int64_t slot, int64_t) {
        const int64_t row = is_tall ? all * (round % to_image) / to_image : 0;
        copy(layer, kernels, im, source, x, round / to_image, row, g.channels * task / sources,
             g.channels * (task + 1) / sources, copies + slot * source.size);
      },
      [&](int64_t round, int64_t task, int64_t slot, int64_t) {
        const int64_t image = round / to_image, part = round % to_image * blocks + task / chunks, chunk = task % chunks;
        const Strip* const first = layer.strips.data() + strips * chunk / chunks;
        const Strip* const end = layer.strips.data() + strips * (chunk + 1) / chunks;
        const int64_t from = all * part / parts, to = all * (part + 1) / parts;
        const float* const in = copies ? copies + slot * source.size
                                       : static_cast<const float*>(x) + image * g.channels * source.plane;
        if (pointwise) {
          int64_t at = from;
          for (int64_t left = ceil_div(to - from, layer.panel_vectors); left > 0; --left) {
            const int64_t until = at + ceil_div(to - at, left);
            call.paint_panels(first, end, image, in, at, until);
            at = until;
          }
          return;
        }
        for (const Strip* s = first; s != end; ++s)
          is_tall ? call.paint_tall(*s, image, in, from, to) : call.paint(*s, image, in, from, to);
      });
}

}  // namespace rgp
