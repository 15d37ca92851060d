// Tiles for bfloat16 in AVX-512: 16 pixels a vector, each the word of two channels; VDPBF16PS adds both products to a sum
// of float32. It takes denormals for zero, and rounds each sum to even.
#include "tile.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>

namespace rgp {
namespace {

struct Simd {
  using Vec = __m512;
  using Mask = __mmask16;
  using Out = uint16_t;
  static constexpr int kLanes = 16;
  static constexpr int kColumns = 3;
  static constexpr int kMasks = 0;
  static Mask first(int n) { return static_cast<Mask>((1u << n) - 1); }
  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static Vec load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
  static void store_first(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
  static Vec set1(float word) { return _mm512_set1_ps(word); }
  // not by its intrinsic: gcc 12 then copies the sums to and fro
  static Vec fma(Vec weights, Vec pixels, Vec sum) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(pixels), "v"(weights));
    return sum;
  }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  // the value last: max and min give their second operand where one is NaN
  static Vec clamp(Vec v, Vec low, Vec high) { return _mm512_min_ps(high, _mm512_max_ps(low, v)); }
  // n numbers as float32, zeros beyond.
  static Vec widened(const uint16_t* p, int n) {
    const __m256i halves = _mm256_maskz_loadu_epi16(first(n), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  // The first `count` of 32 numbers.
  static void store_halves(uint16_t* p, const Vec (&v)[2], int count) {
    const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(v[1], v[0]));
    if (count == 32) {
      _mm512_storeu_si512(p, halves);
    } else {
      _mm512_mask_storeu_epi16(p, (uint32_t{1} << count) - 1, halves);
    }
  }
  static void pin(Vec& v) { asm volatile("" : "+v"(v)); }
};

// n pixels of two channels, every kStride-th, to n words; reads up to a[(n - 1) * kStride].
template <int kStride>
inline void interleave(const uint16_t* a, const uint16_t* b, int n, float* out) {
  __m512i low, high;
  if constexpr (kStride == 1) {
    low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(Simd::first(n), a));
    high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(Simd::first(n), b)), 16);
  } else {
    const __mmask32 even = 0x55555555u & static_cast<__mmask32>((uint64_t{1} << (2 * n)) - 1);
    low = _mm512_maskz_loadu_epi16(even, a);
    high = _mm512_slli_epi32(_mm512_maskz_loadu_epi16(even, b), 16);
  }
  Simd::store_first(out, _mm512_castsi512_ps(_mm512_or_si512(low, high)), n);
}

void pack_halves(const Rows& r) {
  // rows without gaps or padding are one row: short ones would fill vectors in part
  const bool whole = r.stride == 1 && r.from == 0 && r.to == r.count && r.in_row == r.count && r.out_row == r.count;
  const int64_t rows = whole ? 1 : r.rows, to = whole ? r.rows * r.count : r.to;
  for (int64_t row = 0; row < rows; ++row) {
    const uint16_t* in = static_cast<const uint16_t*>(r.in) + row * r.in_row;
    const uint16_t *const a = in + r.channels[0], *const b = in + r.channels[1];
    float* out = r.out + row * r.out_row;
    if (r.from) fill<Simd>(out, r.from, r.blank);
    for (int64_t o = r.from; o < to; o += 16) {
      const int n = static_cast<int>(std::min<int64_t>(16, to - o));
      if (r.stride == 1) {
        interleave<1>(a + o, b + o, n, out + o);
      } else if (r.stride == 2) {
        interleave<2>(a + 2 * o, b + 2 * o, n, out + o);
      } else {
        for (int i = 0; i < n; ++i) {
          reinterpret_cast<uint16_t*>(out + o + i)[0] = a[r.stride * (o + i)];
          reinterpret_cast<uint16_t*>(out + o + i)[1] = b[r.stride * (o + i)];
        }
      }
    }
    if (to < r.count) fill<Simd>(out + to, r.count - to, r.blank);
  }
}

}  // namespace

const Kernels* avx512_bf16() {
  static const Kernels found = with_avx512_tiles<Simd>({"avx512_bf16", Simd::kLanes, 0, {}, {}, pack_halves, nullptr});
  return &found;
}

}  // namespace rgp
#else
const rgp::Kernels* rgp::avx512_bf16() { return nullptr; }
#endif
