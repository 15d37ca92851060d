// The few slots of ONNX Runtime's C API that a custom operator needs, declared here because its headers are in no
// package that pip or Debian has. The API is one table of functions that only grows at its end, so a slot's number
// never changes; `Api` reads a slot by that number. The structure of a custom operator is that of API version 18.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rgp::ort {

constexpr uint32_t kApiVersion = 18;  // ONNX Runtime 1.18: the newest slot used here is of 1.17

struct Status;
struct SessionOptions;
struct CustomOpDomain;
struct KernelInfo;
struct KernelContext;
struct Value;
struct TensorInfo;
struct Allocator;

struct ApiBase {
  const void* const* (*get_api)(uint32_t version);  // null if the runtime is older than `version`
  const char* (*get_version_string)();
};

struct Api {
  const void* const* slots = nullptr;

  template <class... Args>
  Status* call(int slot, Args... args) const {
    return reinterpret_cast<Status* (*)(Args...)>(const_cast<void*>(slots[slot]))(args...);
  }
  template <class... Args>
  void release(int slot, Args... args) const {
    reinterpret_cast<void (*)(Args...)>(const_cast<void*>(slots[slot]))(args...);
  }
  Status* error(const char* message) const {
    return reinterpret_cast<Status* (*)(int, const char*)>(const_cast<void*>(slots[0]))(/*fail*/ 1, message);
  }
};

enum Slot : int {
  kCreateStatus = 0,
  kCreateCustomOpDomain = 26,
  kCustomOpDomainAdd = 27,
  kAddCustomOpDomain = 28,
  kGetTensorMutableData = 51,
  kGetTensorElementType = 60,
  kGetDimensionsCount = 61,
  kGetDimensions = 62,
  kGetTensorTypeAndShape = 65,
  kCreateCpuMemoryInfo = 69,
  kAllocatorAlloc = 75,
  kAllocatorFree = 76,
  kGetInput = 90,
  kGetOutput = 91,
  kReleaseMemoryInfo = 94,
  kReleaseTensorInfo = 99,
  kReleaseAllocator = 132,
  kGetAttributeInts = 163,
  kGetConstantInput = 249,
  kGetAllocator = 253,
  kParallelFor = 274,
};

enum class Type : int { kFloat = 1, kUint8 = 2, kInt8 = 3, kInt32 = 6, kBfloat16 = 16 };
enum class Characteristic : int { kRequired = 0, kOptional = 1 };

struct CustomOp {
  uint32_t version;
  void* (*create_kernel)(const CustomOp*, const void* api, const KernelInfo*);
  const char* (*get_name)(const CustomOp*);
  const char* (*get_execution_provider)(const CustomOp*);
  Type (*get_input_type)(const CustomOp*, size_t);
  size_t (*get_input_count)(const CustomOp*);
  Type (*get_output_type)(const CustomOp*, size_t);
  size_t (*get_output_count)(const CustomOp*);
  void (*compute)(void* kernel, KernelContext*);
  void (*destroy)(void* kernel);
  Characteristic (*get_input_characteristic)(const CustomOp*, size_t);
  Characteristic (*get_output_characteristic)(const CustomOp*, size_t);
  int (*get_input_memory_type)(const CustomOp*, size_t);
  int (*get_variadic_input_least)(const CustomOp*);
  int (*get_variadic_input_alike)(const CustomOp*);
  int (*get_variadic_output_least)(const CustomOp*);
  int (*get_variadic_output_alike)(const CustomOp*);
  Status* (*create_kernel_v2)(const CustomOp*, const void* api, const KernelInfo*, void** kernel);
  Status* (*compute_v2)(void* kernel, KernelContext*);
  void* infer_output_shape;
  int (*get_start_version)(const CustomOp*);
  int (*get_end_version)(const CustomOp*);
  size_t (*get_may_inplace)(int** inputs, int** outputs);
  void (*release_may_inplace)(int* inputs, int* outputs);
  size_t (*get_alias)(int** inputs, int** outputs);
  void (*release_alias)(int* inputs, int* outputs);
};

}  // namespace rgp::ort
