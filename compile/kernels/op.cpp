// The operators of domain `rgp` for ONNX Runtime: GraphConv, with an Add and a ReLU or ReLU6 behind it or without.
//
//   [Bf16]GraphConv[Add][Relu|Relu6](X, W, B[, R]): attributes strides (2) and pads (4) as Conv has them
//
// X, W, R and the output are float32, or bfloat16 where the name says so, B is always float32. W (O, C, kh, kw) and B (O)
// must be constants; R has the output's shape. In the file each is a function of stock operators, so that a runtime
// without this library computes the same. Those for bfloat16 are there only where the CPU has tiles for it.
#include "runtime.h"

namespace rgp {
namespace {

struct Op : CustomOp {
  const char* name;
  Type type;
  bool add;
  float low, high;
};

class Kernel {
 public:
  Kernel(const Op& op, const Runtime& runtime, const KernelInfo* info)
      : runtime_(runtime), type_(op.type), add_(op.add), kernels_(found(op.type)), layer_(built(op, info)) {}

  void compute(KernelContext* context) const {
    const Value* x = runtime_.input(context, 0);
    const Geometry& g = layer_.geometry;
    const Image image = image_of(g, layer_.together > 1 ? layer_.inputs : g.channels, runtime_.shape(x, type_));
    const std::vector<int64_t> out{image.batch, g.outputs, image.out_height, image.out_width};
    const void* residual = nullptr;
    if (add_) {
      const Value* value = runtime_.input(context, 3);
      const std::vector<int64_t> added = runtime_.shape(value, type_);
      if (added != out)
        throw std::invalid_argument("what is added is " + in_words(added) + ", the output is " + in_words(out));
      residual = runtime_.data<void>(value);
    }
    Value* y = nullptr;
    runtime_(kGetOutput, context, size_t{0}, out.data(), out.size(), &y);
    Scratch scratch(runtime_, context);
    run(layer_, kernels_, image, runtime_.data<void>(x), residual, runtime_.data<void>(y),
        runtime_.parallel_for(context), std::ref(scratch));
  }

  const Runtime& runtime() const { return runtime_; }

 private:
  static const Kernels& found(Type type) {
    if (type == Type::kFloat) return kernels();
    const Kernels* each = bf16_kernels();
    if (!each) throw std::invalid_argument("bfloat16 needs AVX-512 with BF16, and RGP_ISA, if set, at avx512");
    return *each;
  }

  Layer built(const Op& op, const KernelInfo* info) const {
    const Value *weight = runtime_.constant(info, 1), *bias = runtime_.constant(info, 2);
    const std::vector<int64_t> shape = runtime_.shape(weight, type_), biases = runtime_.shape(bias, Type::kFloat);
    const Geometry geometry = runtime_.geometry(info, shape);
    if (biases != std::vector<int64_t>{shape[0]})
      throw std::invalid_argument("the bias is " + in_words(biases) + " for the weight " + in_words(shape));
    const float* b = runtime_.data<float>(bias);
    return type_ == Type::kFloat
               ? make_layer(geometry, kernels_, runtime_.data<float>(weight), b, op.low, op.high)
               : make_bf16_layer(geometry, kernels_, runtime_.data<uint16_t>(weight), b, op.low, op.high);
  }

  Runtime runtime_;
  Type type_;
  bool add_;
  const Kernels& kernels_;
  Layer layer_;
};

Op make(const char* name, Type type, bool add, float low, float high) {
  Op op{};
  describe<Kernel>(op, name);
  op.type = type;
  op.add = add;
  op.low = low;
  op.high = high;
  op.get_input_type = [](const CustomOp* self, size_t index) {
    return index == 2 ? Type::kFloat : static_cast<const Op*>(self)->type;
  };
  op.get_input_count = [](const CustomOp* self) -> size_t { return static_cast<const Op*>(self)->add ? 4 : 3; };
  op.get_output_type = [](const CustomOp* self, size_t) { return static_cast<const Op*>(self)->type; };
  return op;
}

constexpr float kNone = std::numeric_limits<float>::infinity();
const Op kOps[] = {
    make("GraphConv", Type::kFloat, false, -kNone, kNone),
    make("GraphConvAdd", Type::kFloat, true, -kNone, kNone),
    make("GraphConvRelu", Type::kFloat, false, 0, kNone),
    make("GraphConvAddRelu", Type::kFloat, true, 0, kNone),
    make("GraphConvRelu6", Type::kFloat, false, 0, 6),
    make("GraphConvAddRelu6", Type::kFloat, true, 0, 6),
    make("Bf16GraphConv", Type::kBfloat16, false, -kNone, kNone),
    make("Bf16GraphConvAdd", Type::kBfloat16, true, -kNone, kNone),
    make("Bf16GraphConvRelu", Type::kBfloat16, false, 0, kNone),
    make("Bf16GraphConvAddRelu", Type::kBfloat16, true, 0, kNone),
    make("Bf16GraphConvRelu6", Type::kBfloat16, false, 0, 6),
    make("Bf16GraphConvAddRelu6", Type::kBfloat16, true, 0, 6),
};

CustomOpDomain* made(const Runtime& runtime, bool bf16, bool int8) {
  CustomOpDomain* domain = nullptr;
  runtime(kCreateCustomOpDomain, "rgp", &domain);
  for (const Op& op : kOps)
    if (op.type == Type::kFloat || bf16) runtime(kCustomOpDomainAdd, domain, static_cast<const CustomOp*>(&op));
  if (int8) runtime(kCustomOpDomainAdd, domain, int8_operator());
  return domain;
}

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
    // for the process, never freed: sessions refer to them as long as they live; and without what not all CPUs have
    static CustomOpDomain* const domains[] = {rgp::made(runtime, false, false), rgp::made(runtime, false, true),
                                              rgp::made(runtime, true, false), rgp::made(runtime, true, true)};
    CustomOpDomain* const domain =
        domains[2 * (rgp::bf16_kernels() != nullptr) + (rgp::int8_kernels() != nullptr)];
    runtime(kAddCustomOpDomain, options, domain);
  });
}
