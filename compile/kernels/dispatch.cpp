// Which instruction set runs: the best one that the CPU and the system have, or the one that RGP_ISA names.
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include "graph_conv.h"

namespace rgp {
namespace {

bool runs([[maybe_unused]] const std::string& name) {
#if defined(__x86_64__)
  __builtin_cpu_init();  // asks the system too, whether it saves the registers
  if (name == "avx512") return __builtin_cpu_supports("avx512f");
  if (name == "avx512_vnni")  // BW and VL: masks for bytes, and for short vectors
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
  if (name == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return true;
}

constexpr std::pair<const char*, const Kernels* (*)()> kSets[] = {
    {"avx512", avx512}, {"avx2", avx2}, {"neon", neon}, {"portable", portable}};

const Kernels& choose() {
  const char* wanted = std::getenv("RGP_ISA");
  std::string known;
  for (const auto& [name, get] : kSets) {
    const Kernels* each = runs(name) ? get() : nullptr;  // asked first: even its table is made by its instructions
    if (!each) continue;
    if (!wanted || !*wanted || std::string(wanted) == name) return *each;
    known += std::string(known.empty() ? "" : ", ") + name;
  }
  throw std::invalid_argument(std::string("RGP_ISA is ") + wanted + ", this CPU runs: " + known);
}

}  // namespace

int Kernels::most_vectors(int rows) const {
  int most = kMaxVectors;
  while (!flat[kind(rows)][most]) --most;
  return most;
}

const Kernels& kernels() { return choose(); }

const Kernels* int8_kernels() {
  return choose().name == std::string("avx512") && runs("avx512_vnni") ? avx512_vnni() : nullptr;
}

}  // namespace rgp

// The instruction set that runs here, or a sentence that begins with RGP_ISA if that names none of them.
extern "C" __attribute__((visibility("default"))) const char* rgp_instruction_set() {
  static const std::string found = [] {
    try {
      return std::string(rgp::kernels().name);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  }();
  return found.c_str();
}

// The same for int8; empty where there is none.
extern "C" __attribute__((visibility("default"))) const char* rgp_int8_instruction_set() {
  static const std::string found = [] {
    try {
      const rgp::Kernels* each = rgp::int8_kernels();
      return std::string(each ? each->name : "");
    } catch (const std::exception&) {
      return std::string();
    }
  }();
  return found.c_str();
}

// Multiply-adds a second on the calling thread, in registers alone, over `rounds` rounds.
extern "C" __attribute__((visibility("default"))) double rgp_peak_macs(int64_t rounds) {
  const auto start = std::chrono::steady_clock::now();
  const double macs = rgp::kernels().peak(rounds);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return macs * static_cast<double>(rounds) / seconds.count();
}
