// The operators of domain `rgp` for ONNX Runtime: GraphConv, with an Add and a ReLU or ReLU6 behind it or without.
//
//   GraphConv[Add][Relu|Relu6](X, W, B[, R]): attributes strides (2) and pads (4) as Conv has them
//
// W (O, C, kh, kw) and B (O) must be constants; R has the output's shape. In the file each is a function of stock
// operators, so that a runtime without this library computes the same.
#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "graph_conv.h"
#include "ort_api.h"

namespace rgp {
namespace {

using namespace ort;

// A status that the runtime gave: carried through C++ as it is, handed back as it came.
struct Failed {
  Status* status;
};

struct Runtime {
  Api api;

  template <class... Args>
  void operator()(Slot slot, Args... args) const {
    if (Status* status = api.call(slot, args...)) throw Failed{status};
  }

  std::vector<int64_t> shape(const Value* value) const {
    TensorInfo* info = nullptr;
    (*this)(kGetTensorTypeAndShape, value, &info);
    int type = 0;
    size_t count = 0;
    (*this)(kGetTensorElementType, static_cast<const TensorInfo*>(info), &type);
    (*this)(kGetDimensionsCount, static_cast<const TensorInfo*>(info), &count);
    std::vector<int64_t> sides(count);
    (*this)(kGetDimensions, static_cast<const TensorInfo*>(info), sides.data(), count);
    api.release(kReleaseTensorInfo, info);
    if (type != static_cast<int>(Type::kFloat)) throw std::invalid_argument("a tensor is not float32");
    return sides;
  }

  float* data(const Value* value) const {
    void* found = nullptr;
    (*this)(kGetTensorMutableData, const_cast<Value*>(value), &found);
    return static_cast<float*>(found);
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

std::string in_words(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

struct Op : CustomOp {
  const char* name;
  bool add;
  float low, high;
};

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

class Kernel {
 public:
  Kernel(const Op& op, const Runtime& runtime, const KernelInfo* info)
      : runtime_(runtime), add_(op.add), kernels_(kernels()), layer_(built(op, info)) {}

  void compute(KernelContext* context) const {
    const Value* x = input(context, 0);
    const std::vector<int64_t> shape = runtime_.shape(x);
    const Geometry& g = layer_.geometry;
    if (shape.size() != 4 || shape[1] != g.channels)
      throw std::invalid_argument("the input is " + in_words(shape) + ", the weight reads " +
                                  std::to_string(g.channels) + " channels of (batch, channels, height, width)");
    const Image image{shape[0], shape[2], shape[3],
                      output_side(shape[2], g.top, g.bottom, g.kernel_h, g.stride_h),
                      output_side(shape[3], g.left, g.right, g.kernel_w, g.stride_w)};
    const std::vector<int64_t> out{image.batch, g.outputs, image.out_height, image.out_width};
    if (image.out_height < 1 || image.out_width < 1)
      throw std::invalid_argument("the kernel is larger than the padded image " + in_words(shape));
    const float* residual = nullptr;
    if (add_) {
      const Value* value = input(context, 3);
      const std::vector<int64_t> added = runtime_.shape(value);
      if (added != out)
        throw std::invalid_argument("what is added is " + in_words(added) + ", the output is " + in_words(out));
      residual = runtime_.data(value);
    }
    Value* y = nullptr;
    runtime_(kGetOutput, context, size_t{0}, out.data(), out.size(), &y);
    Scratch scratch(runtime_, context);
    run(
        layer_, kernels_, image, runtime_.data(x), residual, runtime_.data(y),
        [&](size_t count, const std::function<void(size_t)>& work) {
          runtime_(kParallelFor, static_cast<const KernelContext*>(context),
                   +[](void* work, size_t index) { (*static_cast<const std::function<void(size_t)>*>(work))(index); },
                   count, count, static_cast<void*>(const_cast<std::function<void(size_t)>*>(&work)));
        },
        std::ref(scratch));
  }

  const Runtime& runtime() const { return runtime_; }

 private:
  const Value* input(KernelContext* context, size_t index) const {
    const Value* value = nullptr;
    runtime_(kGetInput, static_cast<const KernelContext*>(context), index, &value);
    if (!value) throw std::invalid_argument("input " + std::to_string(index) + " is missing");
    return value;
  }

  std::vector<int64_t> ints(const KernelInfo* info, const char* name, size_t count) const {
    std::vector<int64_t> values(count);
    size_t found = count;
    runtime_(kGetAttributeInts, info, name, values.data(), &found);
    if (found != count) throw std::invalid_argument(std::string(name) + " has " + std::to_string(found) + " values");
    return values;
  }

  const Value* constant(const KernelInfo* info, size_t index) const {
    int is_constant = 0;
    const Value* value = nullptr;
    runtime_(kGetConstantInput, info, index, &is_constant, &value);
    if (!is_constant || !value) throw std::invalid_argument("input " + std::to_string(index) + " is not a constant");
    return value;
  }

  Layer built(const Op& op, const KernelInfo* info) const {
    const std::vector<int64_t> strides = ints(info, "strides", 2), pads = ints(info, "pads", 4);
    const Value *weight = constant(info, 1), *bias = constant(info, 2);
    const std::vector<int64_t> shape = runtime_.shape(weight), biases = runtime_.shape(bias);
    if (shape.size() != 4) throw std::invalid_argument("the weight is " + in_words(shape) + ", not (O, C, kh, kw)");
    if (biases != std::vector<int64_t>{shape[0]})
      throw std::invalid_argument("the bias is " + in_words(biases) + " for the weight " + in_words(shape));
    const Geometry geometry{shape[1], shape[0], shape[2], shape[3], strides[0], strides[1],
                            pads[0],  pads[1],  pads[2],  pads[3]};
    return make_layer(geometry, kernels_, runtime_.data(weight), runtime_.data(bias), op.low, op.high);
  }

  Runtime runtime_;
  bool add_;
  const Kernels& kernels_;
  Layer layer_;
};

Op make(const char* name, bool add, float low, float high) {
  Op op{};
  op.version = kApiVersion;
  op.name = name;
  op.add = add;
  op.low = low;
  op.high = high;
  op.get_name = [](const CustomOp* self) { return static_cast<const Op*>(self)->name; };
  op.get_execution_provider = [](const CustomOp*) -> const char* { return nullptr; };
  op.get_input_type = [](const CustomOp*, size_t) { return Type::kFloat; };
  op.get_input_count = [](const CustomOp* self) -> size_t { return static_cast<const Op*>(self)->add ? 4 : 3; };
  op.get_output_type = [](const CustomOp*, size_t) { return Type::kFloat; };
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
  return op;
}

constexpr float kNone = std::numeric_limits<float>::infinity();
const Op kOps[] = {
    make("GraphConv", false, -kNone, kNone), make("GraphConvAdd", true, -kNone, kNone),
    make("GraphConvRelu", false, 0, kNone),  make("GraphConvAddRelu", true, 0, kNone),
    make("GraphConvRelu6", false, 0, 6),     make("GraphConvAddRelu6", true, 0, 6),
};

}  // namespace
}  // namespace rgp

extern "C" __attribute__((visibility("default"))) rgp::ort::Status* RegisterCustomOps(
    rgp::ort::SessionOptions* options, const rgp::ort::ApiBase* base) {
  using namespace rgp::ort;
  const void* const* slots = base->get_api(kApiVersion);
  if (!slots) {  // every runtime has version 1, and its way to make a status
    const std::string message = std::string("rgp's kernels need ONNX Runtime 1.18 or newer, this is ") +
                                base->get_version_string();
    return Api{base->get_api(1)}.error(message.c_str());
  }
  const rgp::Runtime runtime{{slots}};
  return rgp::guarded(runtime.api, [&] {
    rgp::kernels();  // an instruction set that RGP_ISA names in vain is told now
    // one for the process, never freed: sessions refer to it as long as they live
    static CustomOpDomain* const domain = [&] {
      CustomOpDomain* made = nullptr;
      runtime(kCreateCustomOpDomain, "rgp", &made);
      for (const auto& op : rgp::kOps) runtime(kCustomOpDomainAdd, made, static_cast<const CustomOp*>(&op));
      return made;
    }();
    runtime(kAddCustomOpDomain, options, domain);
  });
}
