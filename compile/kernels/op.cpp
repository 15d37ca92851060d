// The operators of domain `rgp` for ONNX Runtime: GraphConv, with an Add and a ReLU or ReLU6 behind it or without.
//
//   GraphConv[Add][Relu|Relu6](X, W, B[, R]): attributes strides (2) and pads (4) as Conv has them
//
// W (O, C, kh, kw) and B (O) must be constants; R has the output's shape. In the file each is a function of stock
// operators, so that a runtime without this library computes the same.
#include "runtime.h"

namespace rgp {
namespace {

struct Op : CustomOp {
  const char* name;
  bool add;
  float low, high;
};

class Kernel {
 public:
  Kernel(const Op& op, const Runtime& runtime, const KernelInfo* info)
      : runtime_(runtime), add_(op.add), kernels_(kernels()), layer_(built(op, info)) {}

  void compute(KernelContext* context) const {
    const Value* x = runtime_.input(context, 0);
    const Geometry& g = layer_.geometry;
    const Image image = image_of(g, g.channels, runtime_.shape(x, Type::kFloat));
    const std::vector<int64_t> out{image.batch, g.outputs, image.out_height, image.out_width};
    const float* residual = nullptr;
    if (add_) {
      const Value* value = runtime_.input(context, 3);
      const std::vector<int64_t> added = runtime_.shape(value, Type::kFloat);
      if (added != out)
        throw std::invalid_argument("what is added is " + in_words(added) + ", the output is " + in_words(out));
      residual = runtime_.data<float>(value);
    }
    Value* y = nullptr;
    runtime_(kGetOutput, context, size_t{0}, out.data(), out.size(), &y);
    Scratch scratch(runtime_, context);
    run(layer_, kernels_, image, runtime_.data<float>(x), residual, runtime_.data<float>(y),
        runtime_.parallel_for(context), std::ref(scratch));
  }

  const Runtime& runtime() const { return runtime_; }

 private:
  Layer built(const Op& op, const KernelInfo* info) const {
    const Value *weight = runtime_.constant(info, 1), *bias = runtime_.constant(info, 2);
    const std::vector<int64_t> shape = runtime_.shape(weight, Type::kFloat), biases = runtime_.shape(bias, Type::kFloat);
    const Geometry geometry = runtime_.geometry(info, shape);
    if (biases != std::vector<int64_t>{shape[0]})
      throw std::invalid_argument("the bias is " + in_words(biases) + " for the weight " + in_words(shape));
    return make_layer(geometry, kernels_, runtime_.data<float>(weight), runtime_.data<float>(bias), op.low, op.high);
  }

  Runtime runtime_;
  bool add_;
  const Kernels& kernels_;
  Layer layer_;
};

Op make(const char* name, bool add, float low, float high) {
  Op op{};
  describe<Kernel>(op, name);
  op.add = add;
  op.low = low;
  op.high = high;
  op.get_input_type = [](const CustomOp*, size_t) { return Type::kFloat; };
  op.get_input_count = [](const CustomOp* self) -> size_t { return static_cast<const Op*>(self)->add ? 4 : 3; };
  op.get_output_type = [](const CustomOp*, size_t) { return Type::kFloat; };
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
    // one for the process, never freed: sessions refer to it as long as they live; and one without what not all CPUs have
    const auto make = [&](bool int8) {
      CustomOpDomain* made = nullptr;
      runtime(kCreateCustomOpDomain, "rgp", &made);
      for (const auto& op : rgp::kOps) runtime(kCustomOpDomainAdd, made, static_cast<const CustomOp*>(&op));
      if (int8) runtime(kCustomOpDomainAdd, made, rgp::int8_operator());
      return made;
    };
    static CustomOpDomain* const domains[] = {make(false), make(true)};
    CustomOpDomain* const domain = domains[rgp::int8_kernels() != nullptr];
    runtime(kAddCustomOpDomain, options, domain);
  });
}
