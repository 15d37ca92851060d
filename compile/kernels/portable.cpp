// Tiles in plain C++, for any architecture: a vector is an array of 8, the compiler makes of it what it can.
#include "winograd.h"

namespace rgp {
namespace {

struct Simd {
  using Out = float;
  static constexpr int kLanes = 8;
  static constexpr int kColumns = 0;
  static constexpr int kMasks = 0;
  struct Vec {
    float lane[kLanes];
  };
  using Mask = int;
  static Vec load_first(const float* p, int n) {
    Vec v{};
    for (int i = 0; i < n; ++i) v.lane[i] = p[i];
    return v;
  }
  static Vec load(const float* p) { return load_first(p, kLanes); }
  static Vec load_even(const float* p, int n) {
    Vec v{};
    for (int i = 0; i < n; ++i) v.lane[i] = p[2 * i];
    return v;
  }
  static void store_first(float* p, const Vec& v, int n) {
    for (int i = 0; i < n; ++i) p[i] = v.lane[i];
  }
  static void store(float* p, const Vec& v) { store_first(p, v, kLanes); }
  static Vec set1(float f) {
    Vec v;
    for (float& lane : v.lane) lane = f;
    return v;
  }
  static Vec fma(const Vec& a, const Vec& b, Vec c) {
    for (int i = 0; i < kLanes; ++i) c.lane[i] += a.lane[i] * b.lane[i];
    return c;
  }
  static Vec add(Vec a, const Vec& b) {
    for (int i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
    return a;
  }
  static Vec clamp(Vec v, const Vec& low, const Vec& high) {
    for (int i = 0; i < kLanes; ++i) {
      float& lane = v.lane[i];
      lane = lane < low.lane[i] ? low.lane[i] : lane > high.lane[i] ? high.lane[i] : lane;  // NaN stays NaN
    }
    return v;
  }
  static void pin(Vec&) {}
};

}  // namespace

const Kernels* portable() {
  static const Kernels found = [] {
    Kernels k{"portable", Simd::kLanes, 0, {}, {}, pack<Simd>, peak<Simd>};
    add_flat<Simd, 1, 2>(k, 0);
    add_flat<Simd, 2, 2>(k, 1);
    add_flat<Simd, 4, 2>(k, 2);
    add_flat<Simd, 8, 1>(k, 3);
    add_winograd_tiles<Simd, 2, 2, 2>(k);
    return k;
  }();
  return &found;
}

}  // namespace rgp
