// Tiles in AVX-512: 16 pixels a vector, 32 registers, lanes switched off for nothing by mask registers.
#include "winograd.h"

#ifdef __AVX512F__
#include <immintrin.h>

namespace rgp {
namespace {

struct Simd {
  using Out = float;
  using Vec = __m512;
  using Mask = __mmask16;
  static constexpr int kLanes = 16;
  static constexpr int kColumns = 3;
  static constexpr int kMasks = 3;
  static Mask mask(uint16_t bits) { return bits; }
  static void pin_mask(Mask& m) { asm volatile("" : "+Yk"(m)); }
  static Mask first(int n) { return static_cast<Mask>((1u << n) - 1); }
  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static Vec load_masked(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  static Vec load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static Vec load_even(const float* p, int n) {  // reads up to p[2 * n - 2]
    const uint32_t wanted = static_cast<uint32_t>((uint64_t{1} << (2 * n - 1)) - 1);
    const Vec a = _mm512_maskz_loadu_ps(static_cast<Mask>(wanted), p);
    const Vec b = _mm512_maskz_loadu_ps(static_cast<Mask>(wanted >> 16), p + 16);
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, even, b);
  }
  static void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
  static void store_first(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
  static Vec set1(float f) { return _mm512_set1_ps(f); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  // the value last: max and min give their second operand where one is NaN
  static Vec clamp(Vec v, Vec low, Vec high) { return _mm512_min_ps(high, _mm512_max_ps(low, v)); }
  static void pin(Vec& v) { asm volatile("" : "+v"(v)); }
};

}  // namespace

const Kernels* avx512() {
  static const Kernels found = [] {
    Kernels k = with_avx512_tiles<Simd>({"avx512", Simd::kLanes, 3, {}, {}, pack<Simd>, peak<Simd>});
    add_winograd_tiles<Simd, 14, 12, 6>(k);
    return k;
  }();
  return &found;
}

}  // namespace rgp
#else
const rgp::Kernels* rgp::avx512() { return nullptr; }
#endif
