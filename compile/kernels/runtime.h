// What the operators need of ONNX Runtime: its calls with errors as exceptions, its tensors, its memory.
#pragma once

#include <functional>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "graph_conv.h"
#include "ort_api.h"

namespace rgp {

using namespace ort;

// A status that the runtime gave: carried through C++ as it is, handed back as it came.
struct Failed {
  Status* status;
};

inline std::string in_words(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

struct Runtime {
  Api api;

  template <class... Args>
  void operator()(Slot slot, Args... args) const {
    if (Status* status = api.call(slot, args...)) throw Failed{status};
  }

  // Throws if the tensor is not of the type.
  std::vector<int64_t> shape(const Value* value, Type wanted) const {
    TensorInfo* info = nullptr;
    (*this)(kGetTensorTypeAndShape, value, &info);
    int type = 0;
    size_t count = 0;
    (*this)(kGetTensorElementType, static_cast<const TensorInfo*>(info), &type);
    (*this)(kGetDimensionsCount, static_cast<const TensorInfo*>(info), &count);
    std::vector<int64_t> sides(count);
    (*this)(kGetDimensions, static_cast<const TensorInfo*>(info), sides.data(), count);
    api.release(kReleaseTensorInfo, info);
    if (type != static_cast<int>(wanted))
      throw std::invalid_argument("a tensor has the type " + std::to_string(type) + ", not " +
                                  std::to_string(static_cast<int>(wanted)));
    return sides;
  }

  template <class T>
  T* data(const Value* value) const {
    void* found = nullptr;
    (*this)(kGetTensorMutableData, const_cast<Value*>(value), &found);
    return static_cast<T*>(found);
  }

  const Value* input(KernelContext* context, size_t index) const {
    const Value* value = nullptr;
    (*this)(kGetInput, static_cast<const KernelContext*>(context), index, &value);
    if (!value) throw std::invalid_argument("input " + std::to_string(index) + " is missing");
    return value;
  }

  const Value* constant(const KernelInfo* info, size_t index) const {
    int is_constant = 0;
    const Value* value = nullptr;
    (*this)(kGetConstantInput, info, index, &is_constant, &value);
    if (!is_constant || !value) throw std::invalid_argument("input " + std::to_string(index) + " is not a constant");
    return value;
  }

  std::vector<int64_t> ints(const KernelInfo* info, const char* name, size_t count) const {
    std::vector<int64_t> values(count);
    size_t found = count;
    (*this)(kGetAttributeInts, info, name, values.data(), &found);
    if (found != count) throw std::invalid_argument(std::string(name) + " has " + std::to_string(found) + " values");
    return values;
  }

  // Of a weight (O, C, kh, kw), with the attributes strides and pads.
  Geometry geometry(const KernelInfo* info, const std::vector<int64_t>& weight) const {
    const std::vector<int64_t> strides = ints(info, "strides", 2), pads = ints(info, "pads", 4);
    if (weight.size() != 4) throw std::invalid_argument("the weight is " + in_words(weight) + ", not (O, C, kh, kw)");
    return {weight[1], weight[0], weight[2], weight[3], strides[0], strides[1], pads[0], pads[1], pads[2], pads[3]};
  }

  // The runtime's own threads.
  ParallelFor parallel_for(KernelContext* context) const {
    return [this, context](size_t count, const std::function<void(size_t)>& work) {
      (*this)(kParallelFor, static_cast<const KernelContext*>(context),
              +[](void* work, size_t index) { (*static_cast<const std::function<void(size_t)>*>(work))(index); }, count,
              count, static_cast<void*>(const_cast<std::function<void(size_t)>*>(&work)));
    };
  }
};

template <class Work>
Status* guarded(const Api& api, Work work) {
  try {
    work();
    return nullptr;
  } catch (const Failed& failed) {
    return failed.status;
  } catch (const std::exception& error) {
    return api.error((std::string("rgp::GraphConv: ") + error.what()).c_str());
  }
}

// Memory of the runtime's own arena, for one call.
class Scratch {
 public:
  Scratch(const Runtime& runtime, KernelContext* context) : runtime_(runtime), context_(context) {}
  ~Scratch() {
    if (memory_) runtime_.api.call(kAllocatorFree, allocator_, memory_);
    if (allocator_) runtime_.api.release(kReleaseAllocator, allocator_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* operator()(size_t bytes) {
    void* info = nullptr;
    runtime_(kCreateCpuMemoryInfo, /*arena*/ 1, /*default memory*/ 0, &info);
    Status* status = runtime_.api.call(kGetAllocator, static_cast<const KernelContext*>(context_),
                                       static_cast<const void*>(info), &allocator_);
    runtime_.api.release(kReleaseMemoryInfo, info);
    if (status) throw Failed{status};
    runtime_(kAllocatorAlloc, allocator_, bytes, &memory_);
    if (!memory_) throw std::bad_alloc();
    return memory_;
  }

 private:
  const Runtime& runtime_;
  KernelContext* context_;
  Allocator* allocator_ = nullptr;
  void* memory_ = nullptr;
};

// The sizes of a call with an input (batch, C, height, width). Throws if it is no such.
inline Image image_of(const Geometry& g, int64_t channels, const std::vector<int64_t>& shape) {
  if (shape.size() != 4 || shape[1] != channels)
    throw std::invalid_argument("the input is " + in_words(shape) + ", the weight reads " + std::to_string(channels) +
                                " channels of (batch, channels, height, width)");
  const Image image{shape[0], shape[2], shape[3], output_side(shape[2], g.top, g.bottom, g.kernel_h, g.stride_h),
                    output_side(shape[3], g.left, g.right, g.kernel_w, g.stride_w)};
  if (image.out_height < 1 || image.out_width < 1)
    throw std::invalid_argument("the kernel is larger than the padded image " + in_words(shape));
  return image;
}

// An operator of ours: what the runtime asks of every one.
template <class Kernel, class Op>
void describe(Op& op, const char* name) {
  op.version = kApiVersion;
  op.name = name;
  op.get_name = [](const CustomOp* self) { return static_cast<const Op*>(self)->name; };
  op.get_execution_provider = [](const CustomOp*) -> const char* { return nullptr; };
  op.get_output_count = [](const CustomOp*) -> size_t { return 1; };
  op.destroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  op.get_input_characteristic = [](const CustomOp*, size_t) { return Characteristic::kRequired; };
  op.get_output_characteristic = [](const CustomOp*, size_t) { return Characteristic::kRequired; };
  op.get_input_memory_type = [](const CustomOp*, size_t) { return 0; };
  op.get_variadic_input_least = op.get_variadic_output_least = [](const CustomOp*) { return 1; };
  op.get_variadic_input_alike = op.get_variadic_output_alike = [](const CustomOp*) { return 1; };
  op.create_kernel_v2 = [](const CustomOp* self, const void* api, const KernelInfo* info, void** kernel) {
    const Runtime runtime{{static_cast<const void* const*>(api)}};
    return guarded(runtime.api, [&] { *kernel = new Kernel(*static_cast<const Op*>(self), runtime, info); });
  };
  op.compute_v2 = [](void* kernel, KernelContext* context) {
    const auto& self = *static_cast<const Kernel*>(kernel);
    return guarded(self.runtime().api, [&] { self.compute(context); });
  };
  op.get_start_version = [](const CustomOp*) { return 1; };
  op.get_end_version = [](const CustomOp*) { return std::numeric_limits<int>::max(); };
}

// The operator of op_int8.cpp, for where int8_kernels() are.
const CustomOp* int8_operator();

}  // namespace rgp
