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
  // BW and VL: masks for bytes and halves, and for short vectors
  const bool shorter = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (name == "avx512_bf16") return shorter && __builtin_cpu_supports("avx512bf16");
  if (name == "avx512_vnni") return shorter && __builtin_cpu_supports("avx512vnni");
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

// What a type needs beside AVX-512 itself.
const Kernels* beside_avx512(const char* name, const Kernels* (*get)()) {
  return choose().name == std::string("avx512") && runs(name) ? get() : nullptr;
}

}  // namespace

int Kernels::most_vectors(int rows) const {
  int most = kMaxVectors;
  while (!flat[kind(rows)][most]) --most;
  return most;
}

const Kernels& kernels() { return choose(); }

const Kernels* bf16_kernels() { return beside_avx512("avx512_bf16", avx512_bf16); }

const Kernels* int8_kernels() { return beside_avx512("avx512_vnni", avx512_vnni); }

}  // namespace rgp

// The instruction set that runs here for fp32, bf16 or int8: empty where there is none, a sentence that begins with
// RGP_ISA if that names none of this CPU's.
extern "C" __attribute__((visibility("default"))) const char* rgp_instruction_set(const char* precision) {
  static thread_local std::string error;  // RGP_ISA may have changed since the last call
  try {
    const rgp::Kernels* found = &rgp::kernels();
    const std::string wanted = precision;
    if (wanted == "bf16") found = rgp::bf16_kernels();
    if (wanted == "int8") found = rgp::int8_kernels();
    return found ? found->name : "";
  } catch (const std::exception& refused) {
    error = refused.what();
    return error.c_str();
  }
}

// Multiply-adds a second on the calling thread, in registers alone, over `rounds` rounds.
extern "C" __attribute__((visibility("default"))) double rgp_peak_macs(int64_t rounds) {
  const auto start = std::chrono::steady_clock::now();
  const double macs = rgp::kernels().peak(rounds);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return macs * static_cast<double>(rounds) / seconds.count();
}
