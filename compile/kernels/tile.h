// The inner loops, once for every instruction set. `Simd` wraps its operations, about a dozen.
//
// A wrapper of our own and not Google Highway, because a package built by pip from source cannot count on a system
// library, and a dozen operations do not pay for shipping one. (GNU vector extensions were tried: with one spelling of
// the broadcast gcc 12 reached the peak, with another a sixth of it.)
//
// Simd has: kLanes, Vec, Mask, Out (float, uint16_t in bfloat16, uint8_t in int8); load, load_first (zeros beyond n),
// store, store_first, set1, fma, pin (keeps a value in a register), kColumns (vectors beside which there is room for a
// column of 8 rows); but in int8 add and clamp; in float32 load_even (every
// other float, zeros beyond n), in bfloat16 widened and store_halves, in int8 steps and store_bytes; and, if kMasks > 0,
// mask(bits), pin_mask, load_masked (zeros where the mask is) for that many masks in registers.
//
// Where a float is a word of several numbers, set1 spreads it, and fma adds the products of all of them to each sum,
// which is a float32 for bfloat16 and an int32 for int8.
//
// Every tile keeps its sums in registers and writes each output once, with the residual added and clamped.
#pragma once

#include <algorithm>

#include "ends.h"
#include "graph_conv.h"

namespace rgp {

constexpr int kAhead = 512;  // floats: weights are read once a call, in order, and come from far away

// R * V multiply-adds for V + R loads.
template <class Simd, int R, int V>
RGP_INLINE void multiply_add(const float* weights, const typename Simd::Vec (&pixels)[V],
                         typename Simd::Vec (&sum)[R][V]) {
  __builtin_prefetch(weights + kAhead);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const typename Simd::Vec weight = Simd::set1(weights[r]);
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[r][v] = Simd::fma(weight, pixels[v], sum[r][v]);
  }
}

template <class Simd, int V, bool kLast, bool kPin>
RGP_INLINE void load(const float* x, int last, typename Simd::Vec (&pixels)[V]) {
#pragma GCC unroll 16
  for (int v = 0; v < V; ++v) {
    typename Simd::Vec value = load_of<Simd, V, kLast>(x, v, last);
    if constexpr (kPin) Simd::pin(value);  // or gcc loads it again for each row
    pixels[v] = value;
  }
}

// Flat, 8 rows: taps outermost, so that each tap's masks are loaded once. kColumn: one pixel more, which would fill a
// vector badly. Its products are made for all rows at once.
template <class Simd, int R, int V, bool kLast, bool kMasked, bool kColumn = false>
void flat_by_tap(const Tile& t) {
  typename Simd::Vec sum[R][V], column;
  begin<Simd, R, V, kLast>(t, 0, sum);
  if constexpr (kColumn) column = begin_column<Simd, R, V>(t);
  const float* weights = t.weights;
  const int32_t *const from = t.channels, *const to = from + t.fan_in;
  for (int tap = 0; tap < t.taps; ++tap) {
    typename Simd::Mask mask[V];
    bool reads = true;  // in the column
    if constexpr (kMasked) {
      const uint16_t* bits = t.masks + tap * t.mask_stride;
      if constexpr (kColumn) reads = bits[V];
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        mask[v] = Simd::mask(bits[v]);
        Simd::pin_mask(mask[v]);  // or gcc moves it there again for each channel
      }
    }
    // as a number: a masked tile's first address may lie before the tensor, its lanes never do
    const uintptr_t base = reinterpret_cast<uintptr_t>(t.x) + t.shifts[tap] * sizeof(float);
    for (const int32_t* channel = from; channel != to; ++channel) {
      const float* x = reinterpret_cast<const float*>(base + *channel * t.x_plane * sizeof(float));
      typename Simd::Vec pixels[V];
      if constexpr (kMasked) {
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) {
          typename Simd::Vec value = Simd::load_masked(x + v * Simd::kLanes, mask[v]);
          Simd::pin(value);
          pixels[v] = value;
        }
      } else {
        load<Simd, V, kLast, (R > 1)>(x, t.last, pixels);
      }
      multiply_add<Simd, R, V>(weights, pixels, sum);
      if constexpr (kColumn)
        if (reads) column = Simd::fma(Simd::load_first(weights, R), Simd::set1(x[V * Simd::kLanes]), column);
      weights += R;
    }
  }
  finish<Simd, R, V, kLast>(t, 0, sum);
  if constexpr (kColumn) finish_column<Simd, R, V>(t, column);
}

// Flat, fewer rows: channels outermost, so that a channel's pixels come from the nearest cache for all taps but one.
template <class Simd, int R, int V, bool kLast>
void flat_by_channel(const Tile& t) {
  typename Simd::Vec sum[R][V];
  begin<Simd, R, V, kLast>(t, 0, sum);
  const float* weights = t.weights;
  const int32_t *const from = t.channels, *const to = from + t.fan_in;
  for (const int32_t* channel = from; channel != to; ++channel) {
    const float* plane = t.x + *channel * t.x_plane;
    for (int tap = 0; tap < t.taps; ++tap) {
      typename Simd::Vec pixels[V];
      load<Simd, V, kLast, (R > 1)>(plane + t.shifts[tap], t.last, pixels);
      multiply_add<Simd, R, V>(weights, pixels, sum);
      weights += R;
    }
  }
  finish<Simd, R, V, kLast>(t, 0, sum);
}

template <class Simd, int R, int V>
void flat(const Tile& t) {
  const bool last = t.last < Simd::kLanes;
  if constexpr (R == kMaxRows && V <= Simd::kColumns) {
    if (t.column) {
      if constexpr (V <= Simd::kMasks)
        if (t.masks) return flat_by_tap<Simd, R, V, false, true, true>(t);
      return flat_by_tap<Simd, R, V, false, false, true>(t);
    }
  }
  if constexpr (R == kMaxRows && V <= Simd::kMasks) {
    if (t.masks) return last ? flat_by_tap<Simd, R, V, true, true>(t) : flat_by_tap<Simd, R, V, false, true>(t);
  }
  if (R == kMaxRows || t.taps == 1)
    return last ? flat_by_tap<Simd, R, V, true, false>(t) : flat_by_tap<Simd, R, V, false, false>(t);
  return last ? flat_by_channel<Simd, R, V, true>(t) : flat_by_channel<Simd, R, V, false>(t);
}

// Tall: T rows of output pixels under a kernel with three tap rows. Input row y serves the output rows y, y - 1 and
// y - 2, so each load is used up to three times, which is what a strip of few rows needs. `kStride`: 1, or 2 with the
// even and the odd rows of the input apart.
template <class Simd, int R, int T, int V, int kStride, bool kLast>
void tall_of(const Tile& t) {
  using Vec = typename Simd::Vec;
  Vec sum[T][R][V];
#pragma GCC unroll 8
  for (int row = 0; row < T; ++row) begin<Simd, R, V, kLast>(t, row, sum[row]);
  const float* weights = t.weights;
  const int32_t *const from = t.channels, *const to = from + t.fan_in;
  for (const int32_t* channel = from; channel != to; ++channel) {
    const float* plane = t.x + *channel * t.x_plane;
    for (int column = 0; column < t.tap_columns; ++column, weights += 3 * R) {
      __builtin_prefetch(weights + kAhead);
      Vec weight[3][R];
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i)
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          Vec value = Simd::set1(weights[i * R + r]);
          Simd::pin(value);
          weight[i][r] = value;
        }
#pragma GCC unroll 2
      for (int phase = 0; phase < kStride; ++phase) {
        const float* x = plane + t.shifts[column] + phase * t.x_phase;
#pragma GCC unroll 8
        for (int y = 0; y < T + (2 - phase) / kStride; ++y, x += t.x_row)
#pragma GCC unroll 16
          for (int v = 0; v < V; ++v) {
            Vec pixels = Simd::load(x + v * Simd::kLanes);
            Simd::pin(pixels);
#pragma GCC unroll 3
            for (int i = phase; i < 3; i += kStride) {
              const int row = y - i / kStride;
              if (row < 0 || row >= T) continue;
#pragma GCC unroll 8
              for (int r = 0; r < R; ++r) sum[row][r][v] = Simd::fma(weight[i][r], pixels, sum[row][r][v]);
            }
          }
      }
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < T; ++row) finish<Simd, R, V, kLast>(t, row, sum[row]);
}

template <class Simd, int R, int T, int V, int kStride>
void tall(const Tile& t) {
  return t.last < Simd::kLanes ? tall_of<Simd, R, T, V, kStride, true>(t) : tall_of<Simd, R, T, V, kStride, false>(t);
}

template <class Simd>
inline void fill(float* out, int64_t count, float word) {
  const auto all = Simd::set1(word);
  for (; count > 0; count -= Simd::kLanes, out += Simd::kLanes)
    Simd::store_first(out, all, static_cast<int>(std::min<int64_t>(Simd::kLanes, count)));
}

template <class Simd>
void pack(const Rows& r) {
  constexpr int64_t kLanes = Simd::kLanes;
  for (int64_t row = 0; row < r.rows; ++row) {
    const float* in = static_cast<const float*>(r.in) + row * r.in_row;
    float* out = r.out + row * r.out_row;
    if (r.from) fill<Simd>(out, r.from, r.blank);
    for (int64_t o = r.from; o < r.to; o += kLanes) {
      const int n = static_cast<int>(std::min(kLanes, r.to - o));
      if (r.stride == 1) {
        Simd::store_first(out + o, Simd::load_first(in + o, n), n);
      } else if (r.stride == 2) {
        Simd::store_first(out + o, Simd::load_even(in + 2 * o, n), n);
      } else {
        for (int i = 0; i < n; ++i) out[o + i] = in[r.stride * (o + i)];
      }
    }
    if (r.to < r.count) fill<Simd>(out + r.to, r.count - r.to, r.blank);
  }
}

// Multiply-adds in registers alone, `rounds` times 12 vectors: how fast they can be at best. Returns numbers a round.
template <class Simd>
double peak(int64_t rounds) {
  typename Simd::Vec sum[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum[i] = Simd::set1(0.25f * i);
  const typename Simd::Vec a = Simd::set1(0.999f), b = Simd::set1(1e-4f);
  for (; rounds > 0; --rounds) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      sum[i] = Simd::fma(sum[i], a, b);
      Simd::pin(sum[i]);
    }
  }
  typename Simd::Vec total = sum[0];
#pragma GCC unroll 12
  for (int i = 1; i < 12; ++i) total = Simd::add(total, sum[i]);
  float kept[Simd::kLanes];
  Simd::store(kept, total);
  return kept[0] < 1e30f ? 12.0 * Simd::kLanes : 0;
}

// Tables of tiles, flat up to `Most` vectors, tall ones up to `T` rows of pixels.
template <class Simd, int R, int Most>
void add_flat(Kernels& k, int kind) {
  if constexpr (Most > 1) add_flat<Simd, R, Most - 1>(k, kind);
  k.flat[kind][Most] = flat<Simd, R, Most>;
}
template <class Simd, int R, int V, int T>
void add_tall(Kernels& k, int kind) {
  if constexpr (T > 1) add_tall<Simd, R, V, T - 1>(k, kind);
  k.tall[0][kind][V][T] = tall<Simd, R, T, V, 1>;
  k.tall[1][kind][V][T] = tall<Simd, R, T, V, 2>;
}

// The tiles of AVX-512, in every type: as large as its 32 registers allow.
template <class Simd>
Kernels with_avx512_tiles(Kernels k) {
  k.most_columned = Simd::kColumns;
  add_flat<Simd, 1, 14>(k, 0);
  add_flat<Simd, 2, 10>(k, 1);
  add_flat<Simd, 4, 6>(k, 2);
  add_flat<Simd, 8, 3>(k, 3);
  add_tall<Simd, 1, 1, 6>(k, 0);
  add_tall<Simd, 1, 2, 6>(k, 0);
  add_tall<Simd, 1, 3, 6>(k, 0);
  add_tall<Simd, 1, 4, 6>(k, 0);
  add_tall<Simd, 2, 1, 6>(k, 1);
  add_tall<Simd, 2, 2, 5>(k, 1);
  add_tall<Simd, 4, 1, 4>(k, 2);
  add_tall<Simd, 4, 2, 2>(k, 2);
  return k;
}

}  // namespace rgp
