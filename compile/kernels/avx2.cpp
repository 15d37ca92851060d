// Tiles in AVX2 with FMA: 8 pixels a vector, 16 registers.
#include "winograd.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace rgp {
namespace {

struct Simd {
  using Out = float;
  using Vec = __m256;
  using Mask = int;
  static constexpr int kLanes = 8;
  static constexpr int kColumns = 0;
  static constexpr int kMasks = 0;
  static __m256i first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static Vec load_first(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
  static Vec load_even(const float* p, int n) {  // reads up to p[2 * n - 2]
    const Vec a = load_first(p, 2 * n - 1), b = load_first(p + 8, 2 * n - 9);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), 0xd8));
  }
  static void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
  static void store_first(float* p, Vec v, int n) { _mm256_maskstore_ps(p, first(n), v); }
  static Vec set1(float f) { return _mm256_set1_ps(f); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  // the value last: max and min give their second operand where one is NaN
  static Vec clamp(Vec v, Vec low, Vec high) { return _mm256_min_ps(high, _mm256_max_ps(low, v)); }
  static void pin(Vec& v) { asm volatile("" : "+x"(v)); }
};

}  // namespace

const Kernels* avx2() {
  static const Kernels found = [] {
    Kernels k{"avx2", Simd::kLanes, 0, {}, {}, pack<Simd>, peak<Simd>};
    add_flat<Simd, 1, 12>(k, 0);
    add_flat<Simd, 2, 5>(k, 1);
    add_flat<Simd, 4, 3>(k, 2);
    add_flat<Simd, 8, 1>(k, 3);
    add_tall<Simd, 1, 1, 6>(k, 0);
    add_tall<Simd, 1, 2, 5>(k, 0);
    add_tall<Simd, 2, 1, 4>(k, 1);
    add_winograd_tiles<Simd, 12, 6, 2>(k);
    return k;
  }();
  return &found;
}

}  // namespace rgp
#else
const rgp::Kernels* rgp::avx2() { return nullptr; }
#endif
