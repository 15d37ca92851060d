// Tiles in NEON (AArch64): 4 pixels a vector, 32 registers.
#include "winograd.h"

#ifdef __aarch64__
#include <arm_neon.h>

namespace rgp {
namespace {

struct Simd {
  using Out = float;
  using Vec = float32x4_t;
  using Mask = int;
  static constexpr int kLanes = 4;
  static constexpr int kColumns = 0;
  static constexpr int kMasks = 0;
  static Vec load(const float* p) { return vld1q_f32(p); }
  static Vec load_first(const float* p, int n) {
    float lanes[kLanes] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  static Vec load_even(const float* p, int n) {
    float lanes[kLanes] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[2 * i];
    return load(lanes);
  }
  static void store(float* p, Vec v) { vst1q_f32(p, v); }
  static void store_first(float* p, Vec v, int n) {
    float lanes[kLanes];
    store(lanes, v);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }
  static Vec set1(float f) { return vdupq_n_f32(f); }
  static Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
  static Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
  static Vec clamp(Vec v, Vec low, Vec high) { return vminq_f32(high, vmaxq_f32(low, v)); }  // NaN stays NaN
  static void pin(Vec& v) { asm volatile("" : "+w"(v)); }
};

}  // namespace

const Kernels* neon() {
  static const Kernels found = [] {
    Kernels k{"neon", Simd::kLanes, 0, {}, {}, pack<Simd>, peak<Simd>};
    add_flat<Simd, 1, 14>(k, 0);
    add_flat<Simd, 2, 10>(k, 1);
    add_flat<Simd, 4, 6>(k, 2);
    add_flat<Simd, 8, 3>(k, 3);
    add_tall<Simd, 1, 1, 6>(k, 0);
    add_tall<Simd, 1, 2, 6>(k, 0);
    add_tall<Simd, 1, 4, 6>(k, 0);
    add_tall<Simd, 2, 1, 6>(k, 1);
    add_tall<Simd, 2, 2, 5>(k, 1);
    add_tall<Simd, 4, 1, 4>(k, 2);
    add_winograd_tiles<Simd, 14, 10, 6>(k);
    return k;
  }();
  return &found;
}

}  // namespace rgp
#else
const rgp::Kernels* rgp::neon() { return nullptr; }
#endif
