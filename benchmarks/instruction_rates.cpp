// How many multiply-adds a second this CPU makes of registers alone, by type: what a kernel of that type could reach.
//
//   g++ -O2 -march=sapphirerapids benchmarks/instruction_rates.cpp -o /tmp/rates && /tmp/rates     (make bench-types)
//
// float32 by FMA, bfloat16 by VDPBF16PS (AVX512_BF16), uint8 x int8 by VPDPBUSD (AVX512_VNNI), and bfloat16 by AMX tiles of
// 16, 8, 4, 2 and 1 rows of weights with a fresh tile of pixels each, as a strip of a graph would need them. The best of
// many rounds: on a shared machine the others say more of the neighbours. Prints JSON, in billions a second.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <initializer_list>

namespace {

constexpr int kRounds = 60, kSums = 12;
constexpr long kRepeats = 200'000;

double seconds_of(const auto& work) {
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// `step(sum, a, b)` is one instruction on 16 lanes of `each` multiply-adds.
double billions(int each, const auto& step) {
  const double seconds = seconds_of([&step] {
    __m512 sums[kSums], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-4f);
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_ps(0.1f * i);
    for (long repeat = 0; repeat < kRepeats; ++repeat) {
#pragma GCC unroll 12
      for (int i = 0; i < kSums; ++i) {
        sums[i] = step(sums[i], a, b);
        asm volatile("" : "+v"(sums[i]));
      }
    }
  });
  return 16.0 * each * kSums * kRepeats / seconds / 1e9;
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

alignas(64) char memory[64 << 10];

double amx_billions(int rows) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.rows[tile] = static_cast<uint8_t>(tile < 5 ? rows : 16);  // 0 to 3: sums, 4: weights, 5 to 7: pixels
    config.row_bytes[tile] = 64;
  }
  _tile_loadconfig(&config);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  _tile_loadd(4, memory, 64);
  constexpr long kTurns = 20'000;
  const double seconds = seconds_of([&] {
    for (long turn = 0; turn < kTurns; ++turn) {
      const char* pixels = memory + turn % 8 * 4096;
      _tile_loadd(5, pixels, 64); _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(6, pixels + 1024, 64); _tile_dpbf16ps(1, 4, 6);
      _tile_loadd(7, pixels + 2048, 64); _tile_dpbf16ps(2, 4, 7);
      _tile_loadd(5, pixels + 3072, 64); _tile_dpbf16ps(3, 4, 5);
    }
  });
  _tile_release();
  return 4.0 * rows * 32 * 16 * kTurns / seconds / 1e9;
}

}  // namespace

int main() {
  std::printf("{\"fp32_fma\": %.0f", billions(1, [](__m512 s, __m512 a, __m512 b) { return _mm512_fmadd_ps(s, a, b); }));
  if (__builtin_cpu_supports("avx512bf16"))
    std::printf(", \"bf16_vdpbf16ps\": %.0f", billions(2, [](__m512 s, __m512 a, __m512 b) {
                  return _mm512_dpbf16_ps(s, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
                }));
  if (__builtin_cpu_supports("avx512vnni"))
    std::printf(", \"int8_vpdpbusd\": %.0f", billions(4, [](__m512 s, __m512 a, __m512 b) {
                  return _mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(s), _mm512_castps_si512(a),
                                                                 _mm512_castps_si512(b)));
                }));
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0)
    for (int rows : {16, 8, 4, 2, 1}) std::printf(", \"bf16_amx_%d_rows\": %.0f", rows, amx_billions(rows));
  std::printf("}\n");
}
