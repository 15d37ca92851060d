// How a tile begins and ends: sums start with the bias, or where they were left; the residual is added, the result
// clamped, narrowed to the output's type and stored. What `Simd` has says tile.h.
#pragma once

#include <algorithm>

#include "graph_conv.h"

namespace rgp {

// Or gcc calls one of them, and the sums go by way of memory.
#define RGP_INLINE inline __attribute__((always_inline))

template <class Simd, int V, bool kLast>
inline typename Simd::Vec load_of(const float* p, int v, int last) {
  return kLast && v == V - 1 ? Simd::load_first(p + v * Simd::kLanes, last) : Simd::load(p + v * Simd::kLanes);
}

template <class Simd>
constexpr int kTogether = sizeof(float) / sizeof(typename Simd::Out);  // numbers in a word

// The sums of R output channels, V vectors each, before the first multiply-add; the last vector in part if kLast.
template <class Simd, int R, int V, bool kLast>
RGP_INLINE void begin(const Tile& t, ptrdiff_t row, typename Simd::Vec (&sum)[R][V]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {  // what is written in the end is fetched while the sums are made
    const ptrdiff_t first = t.outputs[r] * t.y_plane + row * t.y_row;
#pragma GCC unroll 16
    for (int v = 0; v < V; v += kTogether<Simd>) {  // a cache line each
      __builtin_prefetch(static_cast<typename Simd::Out*>(t.y) + first + v * Simd::kLanes, 1);
      if (t.residual)
        __builtin_prefetch(static_cast<const typename Simd::Out*>(t.residual) + first + v * Simd::kLanes);
    }
  }
  if (kTogether<Simd> > 1 || t.begins) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sum[r][v] = Simd::set1(t.bias[r]);
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v)
        sum[r][v] = load_of<Simd, V, kLast>(
            static_cast<const float*>(t.y) + t.outputs[r] * t.y_plane + row * t.y_row, v, t.last);
  }
}

// Stores what `last_step` makes of each vector of sums; it is given the row and where the vector lies in the output.
template <class Simd, int R, int V, bool kLast, class Step>
RGP_INLINE void store_all(const Tile& t, ptrdiff_t row, const typename Simd::Vec (&sum)[R][V], Step last_step) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const ptrdiff_t first = t.outputs[r] * t.y_plane + row * t.y_row;
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const typename Simd::Vec value = last_step(sum[r][v], r, first, v);
      auto* y = static_cast<typename Simd::Out*>(t.y) + first + v * Simd::kLanes;
      if (kLast && v == V - 1) {
        Simd::store_first(y, value, t.last);
      } else {
        Simd::store(y, value);
      }
    }
  }
}

// How many numbers the vectors of sums v to v + kTogether - 1 give, which become one vector.
template <class Simd, int V, bool kLast>
RGP_INLINE int narrowed(int v, int last) {
  constexpr int kWhole = kTogether<Simd> * Simd::kLanes;
  if (v + kTogether<Simd> <= V && !(kLast && v + kTogether<Simd> == V)) return kWhole;
  const int rest = kLast && v + kTogether<Simd> >= V ? last - Simd::kLanes : 0;
  return std::min(V - v, kTogether<Simd>) * Simd::kLanes + rest;
}

// bfloat16: two vectors of sums become one, with the residual added and clamped.
template <class Simd, int R, int V, bool kLast, bool kAdds>
RGP_INLINE void store_halves(const Tile& t, ptrdiff_t row, const typename Simd::Vec (&sum)[R][V]) {
  const typename Simd::Vec low = Simd::set1(t.low), high = Simd::set1(t.high);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const ptrdiff_t first = t.outputs[r] * t.y_plane + row * t.y_row;
#pragma GCC unroll 8
    for (int v = 0; v < V; v += 2) {
      typename Simd::Vec value[2] = {};
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        if (v + i >= V) continue;
        value[i] = sum[r][v + i];
        if constexpr (kAdds) {
          const auto* added = static_cast<const uint16_t*>(t.residual) + first + (v + i) * Simd::kLanes;
          value[i] = Simd::add(value[i], Simd::widened(added, kLast && v + i == V - 1 ? t.last : Simd::kLanes));
        }
        value[i] = Simd::clamp(value[i], low, high);
      }
      Simd::store_halves(static_cast<uint16_t*>(t.y) + first + v * Simd::kLanes, value,
                         narrowed<Simd, V, kLast>(v, t.last));
    }
  }
}

// int8: four vectors of sums become one of bytes. kSmall: no step of the output is beyond int32.
template <class Simd, int R, int V, bool kLast, bool kSmall>
RGP_INLINE void store_bytes(const Tile& t, ptrdiff_t row, const typename Simd::Vec (&sum)[R][V]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    uint8_t* y = static_cast<uint8_t*>(t.y) + t.outputs[r] * t.y_plane + row * t.y_row;
#pragma GCC unroll 4
    for (int v = 0; v < V; v += 4, y += 4 * Simd::kLanes) {
      typename Simd::Vec steps[4] = {};
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)
        if (v + i < V) steps[i] = Simd::template steps<kSmall>(sum[r][v + i], t.scale[r]);
      Simd::store_bytes(y, steps, t.zero, narrowed<Simd, V, kLast>(v, t.last));
    }
  }
}

// Adds the residual, clamps and stores; or only stores, if the sums are to go on. In int8: to steps of the output.
template <class Simd, int R, int V, bool kLast>
RGP_INLINE void finish(const Tile& t, ptrdiff_t row, const typename Simd::Vec (&sum)[R][V]) {
  using Vec = typename Simd::Vec;
  if constexpr (kTogether<Simd> == 2) {
    t.residual ? store_halves<Simd, R, V, kLast, true>(t, row, sum) : store_halves<Simd, R, V, kLast, false>(t, row, sum);
  } else if constexpr (kTogether<Simd> == 4) {
    t.small ? store_bytes<Simd, R, V, kLast, true>(t, row, sum) : store_bytes<Simd, R, V, kLast, false>(t, row, sum);
  } else {
    const Vec low = Simd::set1(t.low), high = Simd::set1(t.high);
    const auto clamp = [&](Vec value) { return Simd::clamp(value, low, high); };
    if (!t.ends) {
      store_all<Simd, R, V, kLast>(t, row, sum, [](Vec value, int, ptrdiff_t, int) { return value; });
    } else if (!t.residual) {
      store_all<Simd, R, V, kLast>(t, row, sum, [&](Vec value, int, ptrdiff_t, int) { return clamp(value); });
    } else {
      store_all<Simd, R, V, kLast>(t, row, sum, [&](Vec value, int, ptrdiff_t first, int v) {
        return clamp(Simd::add(
            value, load_of<Simd, V, kLast>(static_cast<const float*>(t.residual) + first, v, t.last)));
      });
    }
  }
}

// The column of a tile: the one pixel behind V whole vectors, a lane for each row.
template <class Simd, int R, int V>
RGP_INLINE typename Simd::Vec begin_column(const Tile& t) {
  if (kTogether<Simd> > 1 || t.begins) return Simd::load_first(t.bias, R);
  float first[R];
  for (int r = 0; r < R; ++r)
    first[r] = static_cast<const float*>(t.y)[t.outputs[r] * t.y_plane + V * Simd::kLanes];
  return Simd::load_first(first, R);
}
template <class Simd, int R, int V>
RGP_INLINE void finish_column(const Tile& t, typename Simd::Vec sum) {
  using Out = typename Simd::Out;
  Tile one = t;
  one.last = 1;
  one.y = static_cast<Out*>(t.y) + V * Simd::kLanes;
  if (t.residual) one.residual = static_cast<const Out*>(t.residual) + V * Simd::kLanes;
  float rows[Simd::kLanes];
  Simd::store(rows, sum);
  typename Simd::Vec sums[R][1];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) sums[r][0] = Simd::set1(rows[r]);
  finish<Simd, R, 1, true>(one, 0, sums);
}

}  // namespace rgp
