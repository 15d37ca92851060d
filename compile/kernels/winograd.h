// Winograd's F(2x2, 3x3): its inner loops. winograd.cpp says what it is, and calls them.
//
// All are templates over Simd, those too that do not use it: each instruction set must have its own (tile.h).
#pragma once

#include <algorithm>

#include "tile.h"

namespace rgp {

constexpr int64_t kLineFloats = 16;  // of a cache line

// A row of four pixels or sums. gcc makes the instructions of each set from these.
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

template <class Simd>
RGP_INLINE Four four(const float* p) {
  return *reinterpret_cast<const Four*>(p);
}
template <class Simd>
RGP_INLINE void put(float* p, Four v) {
  *reinterpret_cast<Four*>(p) = v;
}

// Of the eight numbers of a and b those at four places. (__builtin_shufflevector would be both compilers', from gcc 12.)
template <class Simd, int i, int j, int k, int l>
RGP_INLINE Four picked(Four a, Four b) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, i, j, k, l);
#else
  typedef int Places __attribute__((vector_size(16)));
  return __builtin_shuffle(a, b, Places{i, j, k, l});
#endif
}

// Pixels 0 to 3 of a row become 0 - 2, 1 + 2, 2 - 1, 1 - 3.
template <class Simd>
RGP_INLINE Four across_in(const float* p) {
  const Four pixels = four<Simd>(p), sign = {-1, 1, -1, -1};
  const Four first = picked<Simd, 0, 1, 2, 1>(pixels, pixels);
  const Four second = picked<Simd, 2, 2, 1, 3>(pixels, pixels);
  return first + sign * second;
}

// The rows, then the columns of each tile.
template <class Simd>
void tiles_in(const TilesIn& t) {
  float* out = t.out;
  for (int64_t row = 0; row < t.rows; ++row) {
    const float* in = t.in + 2 * row * t.row;
    for (int64_t tile = 0; tile < t.across; ++tile, in += 2, out += kSums) {
      const Four a = across_in<Simd>(in), b = across_in<Simd>(in + t.row), c = across_in<Simd>(in + 2 * t.row),
                 d = across_in<Simd>(in + 3 * t.row);
      put<Simd>(out, a - c);
      put<Simd>(out + 4, b + c);
      put<Simd>(out + 8, c - b);
      put<Simd>(out + 12, b - d);
    }
  }
}

// A row of sums of four tiles, [tile][4], to eight pixels: 0 + 1 + 2 and 1 - 2 - 3 of each.
template <class Simd>
RGP_INLINE void across_out(const Four (&s)[4], Four bias, float* out) {
  const Four a = picked<Simd, 0, 4, 1, 5>(s[0], s[1]), b = picked<Simd, 0, 4, 1, 5>(s[2], s[3]);
  const Four c = picked<Simd, 2, 6, 3, 7>(s[0], s[1]), d = picked<Simd, 2, 6, 3, 7>(s[2], s[3]);
  const Four zeroth = picked<Simd, 0, 1, 4, 5>(a, b), first = picked<Simd, 2, 3, 6, 7>(a, b);
  const Four second = picked<Simd, 0, 1, 4, 5>(c, d), third = picked<Simd, 2, 3, 6, 7>(c, d);
  const Four middle = first + bias, left = middle + zeroth + second, right = middle - second - third;
  put<Simd>(out, picked<Simd, 0, 4, 1, 5>(left, right));
  put<Simd>(out + 4, picked<Simd, 2, 6, 3, 7>(left, right));
}

// `count` pixels of a row, at y + at.
template <class Simd>
RGP_INLINE void write(const TilesOut& t, const float* pixels, int64_t at, int64_t count) {
  const typename Simd::Vec low = Simd::set1(t.low), high = Simd::set1(t.high);
  for (int64_t i = 0; i < count; i += Simd::kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(count - i, Simd::kLanes));
    typename Simd::Vec value = Simd::load_first(pixels + i, n);
    if (t.residual) value = Simd::add(value, Simd::load_first(t.residual + at + i, n));
    Simd::store_first(t.y + at + i, Simd::clamp(value, low, high), n);
  }
}

// The columns, then the rows of each tile, four tiles at a time.
template <class Simd>
void tiles_out(const TilesOut& t) {
  constexpr int64_t kChunk = 32;  // tiles whose pixels are gathered to be written in whole vectors
  const Four bias = {t.bias, t.bias, t.bias, t.bias};
  for (int64_t row = 0; row < t.rows; ++row)
    for (int64_t first = 0; first < t.across; first += kChunk) {
      const int64_t count = std::min(kChunk, t.across - first);
      const float* in = t.in + (row * t.across + first) * kSums;
      float pixels[2][2 * kChunk];
      for (int64_t tile = 0; tile < count; tile += 4, in += 4 * kSums) {
        Four sum[2][4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const Four a = four<Simd>(in + i * kSums), b = four<Simd>(in + i * kSums + 4),
                     c = four<Simd>(in + i * kSums + 8), d = four<Simd>(in + i * kSums + 12);
          sum[0][i] = a + b + c;
          sum[1][i] = b - c - d;
        }
        for (int i = 0; i < 2; ++i) across_out<Simd>(sum[i], bias, pixels[i] + 2 * tile);
      }
      const int64_t at = 2 * row * t.width + 2 * first, wide = std::min(2 * count, t.width - 2 * first);
      write<Simd>(t, pixels[0], at, wide);
      if (2 * row + 1 < t.height) write<Simd>(t, pixels[1], at + t.width, wide);
    }
}

// Fetches the lines that tiles_out() will write and read, to be this core's own by then.
template <class Simd>
void fetch_out(const TilesOut& t) {
  const int64_t count = std::min(2 * t.rows, t.height) * t.width;
  for (int64_t i = 0; i < count; i += kLineFloats) {
    __builtin_prefetch(t.y + i, 1);
    if (t.residual) __builtin_prefetch(t.residual + i);
  }
}

// R output channels, V tiles. x, weights and y are of Sums, and each of a tile's 16 has a weight of its own.
template <class Simd, int R, int V>
void winograd_tile(const Tile& t) {
  using Vec = typename Simd::Vec;
  static_assert(kSums % Simd::kLanes == 0);
#pragma GCC unroll 4
  for (int part = 0; part < kSums; part += Simd::kLanes) {
    Vec sum[R][V];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sum[r][v] = Simd::set1(0);
    const float *weights = t.weights + part, *ahead = t.ahead;
    const int32_t *const from = t.channels, *const to = from + t.fan_in;
    for (const int32_t* channel = from; channel != to; ++channel, weights += R * kSums) {
      const float* x = t.x + *channel * t.x_plane + part;
      for (int i = 0; i < t.ahead_each; ++i, ahead += kSums) __builtin_prefetch(ahead, 0, 2);  // second-level cache
      Vec weight[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        weight[r] = Simd::load(weights + r * kSums);
        Simd::pin(weight[r]);
      }
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        Vec pixels = Simd::load(x + v * kSums);
        if (R > 1) Simd::pin(pixels);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) sum[r][v] = Simd::fma(weight[r], pixels, sum[r][v]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) Simd::store(static_cast<float*>(t.y) + r * t.y_plane + v * kSums + part, sum[r][v]);
  }
}

template <class Simd, int R, int Most>
void add_winograd_rows(Kernels& k) {
  if constexpr (Most > 1) add_winograd_rows<Simd, R, Most - 1>(k);
  constexpr int kKind = Kernels::kind(R);
  k.winograd[kKind][Most] = winograd_tile<Simd, R, Most>;
}

// Tiles of 1, 2 and 4 output channels, up to so many tiles of pixels.
template <class Simd, int One, int Two, int Four>
void add_winograd_tiles(Kernels& k) {
  k.tiles_in = tiles_in<Simd>;
  k.tiles_out = tiles_out<Simd>;
  k.fetch_out = fetch_out<Simd>;
  add_winograd_rows<Simd, 1, One>(k);
  add_winograd_rows<Simd, 2, Two>(k);
  add_winograd_rows<Simd, 4, Four>(k);
}

}  // namespace rgp
