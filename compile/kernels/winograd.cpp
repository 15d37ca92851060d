// Winograd's F(2x2, 3x3) under a graph: 16 multiply-adds in place of 36 (Lavin and Gray 2015, arXiv 1509.09308).
//
// The padded input is cut into tiles of 4x4 pixels, which overlap by two, one for each 2x2 pixels of the output.
// Additions turn each into 16 sums; each weight of 3x3 was turned into 16 too. Their products, a vector for each tile and
// weight, are added up over the channels that an output reads, and additions turn the 16 totals into 2x2 pixels.
#include <algorithm>
#include <cstdint>

#include "rounds.h"

namespace rgp {
namespace {

constexpr int64_t kTasks = 32;              // of each kind in a round, at most
constexpr int64_t kRoundBytes = 900 << 10;  // sums of a round, to stay in the second-level cache
constexpr int64_t kTotalBytes = 64 << 10;   // totals of a strip
constexpr int64_t kNearBytes = 24 << 10;    // a strip's weights that stay in the nearest cache
constexpr int kMaxStripRows = 4;            // in this form; strips of 8 are two of 4
constexpr int64_t kLine = kSums * sizeof(float);

// The most tiles for so many rows that stay in registers.
int most_tiles(const Kernels& kernels, int rows) {
  int most = kMaxVectors;
  while (!kernels.winograd[Kernels::kind(rows)][most]) --most;
  return most;
}

// How a call is cut. A round is some rows of tiles, of all channels and one image or more. Its sources, groups of
// channels, are turned into sums; then its outputs, groups of strips, are computed.
struct Plan {
  int64_t across, down;      // tiles in a row, rows of tiles in an image
  int64_t all, rows;         // rows of tiles in the batch, in a round
  Rounds tasks;
  int64_t plane;             // floats from one channel's sums to the next, an odd number of lines: they differ in place
  int64_t padded, totals;    // floats for the padded rows of a channel, and for a strip

  Plan(const Layer& layer, const Image& im)
      : across(ceil_div(im.out_width, 2)), down(ceil_div(im.out_height, 2)), all(im.batch * down) {
    const int64_t channels = layer.geometry.channels, strips = static_cast<int64_t>(layer.strips.size());
    int strip_rows = 1;
    for (const Strip& s : layer.strips) strip_rows = std::max(strip_rows, s.rows);
    const int64_t row = across * kLine;
    const int64_t most = std::min(kRoundBytes / (row * channels), kTotalBytes / (row * strip_rows));
    rows = ceil_div(all, std::max(ceil_div(all, std::max<int64_t>(most, 1)), kRounds));
    tasks = {ceil_div(all, rows), std::min(channels, kTasks), std::min(strips, kTasks)};
    plane = (rows * across | 1) * kSums;
    padded = (2 * rows + 2) * (2 * across + 2);
    totals = strip_rows * plane + 3 * kSums;
  }
  int64_t rows_in(int64_t round) const { return std::min(all - round * rows, rows); }
};

struct Call {
  const Layer& layer;
  const Kernels& kernels;
  const Image& im;
  const Plan& plan;
  const float *x, *residual;
  float* y;

  // Calls each(image, first row of tiles in it, rows, first tile in the round) for every image of a round.
  template <class Each>
  void images(int64_t round, Each each) const {
    const int64_t first = round * plan.rows, end = first + plan.rows_in(round);
    for (int64_t row = first; row < end;) {
      const int64_t in_image = row % plan.down, rows = std::min(end - row, plan.down - in_image);
      each(row / plan.down, in_image, rows, (row - first) * plan.across);
      row += rows;
    }
  }

  // Some channels' sums. The border of the padded rows is the same for all of them.
  void source(int64_t round, int64_t task, float* sums, float* scratch) const {
    const Geometry& g = layer.geometry;
    const int64_t begin = g.channels * task / plan.tasks.sources, end = g.channels * (task + 1) / plan.tasks.sources;
    images(round, [&](int64_t image, int64_t row, int64_t rows, int64_t tile) {
      const int64_t wide = 2 * plan.across + 2, lines = 2 * rows + 2;
      const int64_t top = 2 * row - g.top;  // where the first line is in the input
      const int64_t from = std::clamp<int64_t>(-top, 0, lines), to = std::clamp<int64_t>(im.height - top, from, lines);
      const int64_t left = std::min(g.left, wide), count = std::min(im.width, wide - left);
      std::fill(scratch, scratch + lines * wide, 0.f);
      Rows r{};
      r.in_row = im.width;
      r.out = scratch + from * wide + left;
      r.out_row = wide;
      r.rows = to - from;
      r.to = r.count = count;
      r.stride = 1;
      for (int64_t c = begin; c < end; ++c) {
        r.in = x + ((image * g.channels + c) * im.height + top + from) * im.width;
        kernels.pack(r);
        kernels.tiles_in({scratch, wide, rows, plan.across, sums + c * plan.plane + tile * kSums});
      }
    });
  }

  void output(int64_t round, int64_t task, const float* sums, float* totals) const {
    const int64_t strips = static_cast<int64_t>(layer.strips.size());
    const Strip* const end = layer.strips.data() + strips * (task + 1) / plan.tasks.outputs;
    for (const Strip* s = layer.strips.data() + strips * task / plan.tasks.outputs; s != end; ++s) {
      const auto each = [&](void (*work)(const TilesOut&)) {
        images(round, [&](int64_t image, int64_t row, int64_t rows, int64_t tile) {
          for (int r = 0; r < s->rows; ++r) {
            const int64_t channel = image * layer.geometry.outputs + s->outputs[r];
            const int64_t first = (channel * im.out_height + 2 * row) * im.out_width;
            work({totals + r * plan.plane + tile * kSums, rows, plan.across, im.out_height - 2 * row, im.out_width,
                  residual ? residual + first : nullptr, y + first, s->bias[r], layer.low, layer.high});
          }
        });
      };
      each(kernels.fetch_out);
      multiply(*s, plan.rows_in(round) * plan.across, sums, totals);
      each(kernels.tiles_out);
    }
  }

  // A strip's totals, in blocks of nearly equal size. The next strip's weights are fetched meanwhile, some with each.
  void multiply(const Strip& s, int64_t tiles, const float* sums, float* totals) const {
    const int rows = std::min(s.rows, kMaxStripRows), most = most_tiles(kernels, rows);
    int64_t at = 0;
    Tile t{};
    t.channels = layer.channels.data() + s.channels;
    t.fan_in = s.fan_in;
    t.x_plane = t.y_plane = plan.plane;
    for (int row = 0; row < s.rows; row += rows, at = 0) {
      t.weights = reinterpret_cast<const float*>(layer.winograd.data() + s.weights / 9 + row * s.fan_in);  // may be none
      t.ahead = t.weights + rows * s.fan_in * kSums;
      const float* const enough = t.ahead + rows * s.fan_in * kSums;
      const int64_t blocks = ceil_div(tiles, most);
      for (int64_t left = blocks; left > 0; --left) {
        const int64_t n = ceil_div(tiles - at, left);
        t.ahead_each = t.ahead < enough ? static_cast<int>(ceil_div(rows, blocks)) : 0;
        t.x = sums + at * kSums;
        t.y = totals + row * plan.plane + at * kSums;
        kernels.winograd[Kernels::kind(rows)][n](t);
        t.ahead += t.ahead_each * s.fan_in * kSums;
        at += n;
      }
    }
  }
};

// Lavin and Gray's G g G^T of a weight, in double.
Sums turned(const double (&weight)[3][3]) {
  constexpr double kTurn[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  Sums found;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      double sum = 0;
      for (int k = 0; k < 3; ++k)
        for (int l = 0; l < 3; ++l) sum += kTurn[i][k] * weight[k][l] * kTurn[j][l];
      found.sum[i * 4 + j] = static_cast<float>(sum);
    }
  return found;
}

}  // namespace

void add_winograd(Layer& layer) {
  layer.winograd.resize(layer.weights.size() / 9);
  for (const Strip& s : layer.strips) {
    const int rows = std::min(s.rows, kMaxStripRows);
    for (int r = 0; r < s.rows; ++r)
      for (int c = 0; c < s.fan_in; ++c) {
        double weight[3][3];
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < 3; ++j) {
            const int at = layer.by_tap ? (i * 3 + j) * s.fan_in + c : (c * 3 + j) * 3 + i;
            weight[i][j] = layer.weights[s.weights + at * s.rows + r];
          }
        layer.winograd[s.weights / 9 + (r / rows * s.fan_in + c) * rows + r % rows] = turned(weight);
      }
  }
}

// Both forms in vectors of 16 multiplied and added, as measured in AVX-512 and AVX2 on a Zen 4 (docs/kernel.md): what
// Winograd saves against its sums, which come from the second-level cache, and its larger weights, which come from
// farther away, and for each block of tiles again if a strip's do not stay in the nearest cache.
bool winograd_fits(const Layer& layer, const Kernels& kernels, const Image& im) {
  const Geometry& g = layer.geometry;
  if (layer.together > 1 || g.kernel_h != 3 || g.kernel_w != 3 || g.stride_h != 1 || g.stride_w != 1) return false;
  const auto vectors = static_cast<double>(im.batch * ceil_div(im.out_height * im.out_width, kSums));
  const auto tiles = static_cast<double>(im.batch * ceil_div(im.out_height, 2) * ceil_div(im.out_width, 2));
  const double each = kernels.lanes == kSums ? 1.2 : 1.4;
  double direct = 0, winograd = 6 * tiles * static_cast<double>(g.channels + g.outputs);
  for (const Strip& s : layer.strips) {
    const double products = static_cast<double>(s.rows) * s.fan_in;
    const int rows = std::min(s.rows, kMaxStripRows);
    const double wide = std::min<double>(tiles, most_tiles(kernels, rows));
    const double far = rows * s.fan_in * kLine > kNearBytes ? 1.5 / wide : 0;
    direct += products * (9 * each * vectors + 4);
    winograd += products * ((std::max(1., 2.6 * (rows + wide) / (rows * wide)) + far) * tiles + 20);
  }
  return 1.3 * winograd < direct;
}

void run_winograd(const Layer& layer, const Kernels& kernels, const Image& im, const float* x, const float* residual,
                  float* y, const ParallelFor& parallel_for, const Allocate& allocate) {
  const Plan plan(layer, im);
  const Call call{layer, kernels, im, plan, x, residual, y};
  const int64_t each = plan.plane * layer.geometry.channels;  // a round's sums
  const int64_t own = ceil_div(std::max(plan.totals, plan.padded), kSums) * kSums;  // of a worker
  const int64_t slots = plan.tasks.slots() * each;
  void* const memory = allocate((slots + plan.tasks.workers() * own) * sizeof(float) + kLine);
  float* const first = reinterpret_cast<float*>(ceil_div(reinterpret_cast<intptr_t>(memory), kLine) * kLine);
  plan.tasks.run(
      parallel_for,
      [&](int64_t round, int64_t task, int64_t slot, int64_t worker) {
        call.source(round, task, first + slot * each, first + slots + worker * own);
      },
      [&](int64_t round, int64_t task, int64_t slot, int64_t worker) {
        call.output(round, task, first + slot * each, first + slots + worker * own);
      });
}

}  // namespace rgp
