// Tiles for int8 in AVX-512 with VNNI: 16 pixels a vector, each the word of four channels; VPDPBUSD adds the products
// of four unsigned bytes with four signed ones to a sum of int32, which nothing saturates.
#include "tile.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>

namespace rgp {
namespace {

struct Simd {
  using Vec = __m512i;
  using Mask = __mmask16;
  using Out = uint8_t;
  static constexpr int kLanes = 16;
  static constexpr int kColumns = 3;
  static constexpr int kMasks = 0;
  static Mask first(int n) { return static_cast<Mask>((1u << n) - 1); }
  static Vec load(const float* p) { return _mm512_loadu_si512(p); }
  static Vec load_first(const float* p, int n) { return _mm512_maskz_loadu_epi32(first(n), p); }
  static void store(float* p, Vec v) { _mm512_storeu_si512(p, v); }
  static void store_first(float* p, Vec v, int n) { _mm512_mask_storeu_epi32(p, first(n), v); }
  static Vec set1(float word) { return _mm512_castps_si512(_mm512_set1_ps(word)); }
  // not by its intrinsic: gcc 12 then copies the sums to and fro
  static Vec fma(Vec weights, Vec pixels, Vec sum) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(pixels), "v"(weights));
    return sum;
  }
  // Steps of the output, rounded. kSmall: none can be beyond int32.
  template <bool kSmall>
  static Vec steps(Vec sum, float scale) {
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(scale));
    if constexpr (!kSmall) value = _mm512_min_ps(value, _mm512_set1_ps(256));
    return _mm512_cvtps_epi32(value);
  }
  // `count` of 64 steps, with the zero point, as bytes; each of the three narrowings saturates.
  static void store_bytes(uint8_t* p, const Vec (&v)[4], int zero, int count) {
    const Vec shift = _mm512_set1_epi16(static_cast<int16_t>(zero));
    const Vec low = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), shift);
    const Vec high = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), shift);
    // narrowing works in quarters, so the words of the result lie in the order 0, 4, 8, 12, 1, ..
    const Vec order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const Vec bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
    if (count == 64) {
      _mm512_storeu_si512(p, bytes);
    } else {
      _mm512_mask_storeu_epi8(p, (uint64_t{1} << count) - 1, bytes);
    }
  }
  static void pin(Vec& v) { asm volatile("" : "+v"(v)); }
};

// The bytes p[0], p[stride] .. p[(n - 1) * stride], n up to 16; reads none beyond. Stride 1 or 2.
template <int kStride>
inline __m128i bytes(const uint8_t* p, int n) {
  if constexpr (kStride == 1) {
    if (n == 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << n) - 1), p);
  }
  const __mmask32 wanted = static_cast<__mmask32>((uint64_t{1} << (2 * n - 1)) - 1);
  return _mm256_cvtepi16_epi8(_mm256_maskz_loadu_epi8(wanted, p));
}

// n pixels of four channels to n words.
template <int kStride>
inline void interleave(const uint8_t* const (&in)[4], int64_t at, int n, float* out) {
  const auto of = [&](int channel) { return bytes<kStride>(in[channel] + at * kStride, n); };
  const __m128i a = of(0), b = of(1), c = of(2), d = of(3);
  const __m128i low = _mm_unpacklo_epi8(a, b), high = _mm_unpackhi_epi8(a, b);
  const __m128i low2 = _mm_unpacklo_epi8(c, d), high2 = _mm_unpackhi_epi8(c, d);
  const __m256i first = _mm256_set_m128i(_mm_unpackhi_epi16(low, low2), _mm_unpacklo_epi16(low, low2));
  const __m256i second = _mm256_set_m128i(_mm_unpackhi_epi16(high, high2), _mm_unpacklo_epi16(high, high2));
  const Simd::Vec words = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  n == 16 ? Simd::store(out + at, words) : Simd::store_first(out + at, words, n);
}

void pack_bytes(const Rows& r) {
  // rows without gaps or padding are one row: short ones would fill vectors in part
  const bool whole = r.stride == 1 && r.from == 0 && r.to == r.count && r.in_row == r.count && r.out_row == r.count;
  const int64_t rows = whole ? 1 : r.rows, to = whole ? r.rows * r.count : r.to;
  for (int64_t row = 0; row < rows; ++row) {
    const uint8_t* in[4];
    for (int c = 0; c < 4; ++c) in[c] = static_cast<const uint8_t*>(r.in) + r.channels[c] + row * r.in_row;
    float* out = r.out + row * r.out_row;
    if (r.from) fill<Simd>(out, r.from, r.blank);
    for (int64_t o = r.from; o < to; o += 16) {
      const int n = static_cast<int>(std::min<int64_t>(16, to - o));
      if (r.stride == 1) {
        interleave<1>(in, o, n, out);
      } else if (r.stride == 2) {
        interleave<2>(in, o, n, out);
      } else {
        for (int i = 0; i < n; ++i)
          for (int c = 0; c < 4; ++c) reinterpret_cast<uint8_t*>(out + o + i)[c] = in[c][r.stride * (o + i)];
      }
    }
    if (to < r.count) fill<Simd>(out + to, r.count - to, r.blank);
  }
}

}  // namespace

const Kernels* avx512_vnni() {
  static const Kernels found = with_avx512_tiles<Simd>({"avx512_vnni", Simd::kLanes, 0, {}, {}, pack_bytes, nullptr});
  return &found;
}

}  // namespace rgp
#else
const rgp::Kernels* rgp::avx512_vnni() { return nullptr; }
#endif
