// QLinearGraphConv of domain `rgp`: QLinearConv of ONNX, with its nine inputs, for a weight with zeros in it.
//
//   QLinearGraphConv(X, x_scale, x_zero, W, w_scale, w_zero, y_scale, y_zero, B): attributes strides (2) and pads (4)
//
// All but X are constants: X and the output uint8, W (O, C, kh, kw) int8 with zero points of 0 and one scale for each
// output or one for all, B int32. There only where the CPU has tiles for it: elsewhere the function in the file runs.
#include <algorithm>
#include <cmath>
#include <memory>

#include "runtime.h"

namespace rgp {
namespace {

enum Input : size_t { kX, kXScale, kXZero, kW, kWScale, kWZero, kYScale, kYZero, kB, kInputs };

struct Op : CustomOp {
  const char* name;
};

class Kernel {
 public:
  Kernel(const Op&, const Runtime& runtime, const KernelInfo* info)
      : runtime_(runtime), kernels_(found()), layer_(built(info)) {}

  void compute(KernelContext* context) const {
    const Value* x = runtime_.input(context, kX);
    const Geometry& g = layer_.geometry;
    const Image image = image_of(g, layer_.inputs, runtime_.shape(x, Type::kUint8));
    const std::vector<int64_t> out{image.batch, g.outputs, image.out_height, image.out_width};
    Value* y = nullptr;
    runtime_(kGetOutput, context, size_t{0}, out.data(), out.size(), &y);
    Scratch scratch(runtime_, context);
    run(layer_, kernels_, image, runtime_.data<uint8_t>(x), nullptr, runtime_.data<uint8_t>(y),
        runtime_.parallel_for(context), std::ref(scratch));
  }

  const Runtime& runtime() const { return runtime_; }

 private:
  static const Kernels& found() {
    const Kernels* each = int8_kernels();
    if (!each) throw std::invalid_argument("int8 needs AVX-512 with VNNI, and RGP_ISA, if set, at avx512");
    return *each;
  }

  // The numbers of a constant; one stands for all `count` of them.
  template <class T>
  std::vector<T> numbers(const KernelInfo* info, Input input, Type type, int64_t count, const char* what) const {
    const Value* value = runtime_.constant(info, input);
    const std::vector<int64_t> shape = runtime_.shape(value, type);
    const T* data = runtime_.data<T>(value);
    if (shape.empty() || shape == std::vector<int64_t>{1}) return std::vector<T>(count, *data);
    if (shape != std::vector<int64_t>{count})
      throw std::invalid_argument(std::string(what) + " is " + in_words(shape) + " for " + std::to_string(count));
    return {data, data + count};
  }

  float scale(const KernelInfo* info, Input input, const char* what) const {
    const float found = numbers<float>(info, input, Type::kFloat, 1, what)[0];
    if (!(found > 0) || !std::isfinite(found))
      throw std::invalid_argument(std::string(what) + " is " + std::to_string(found) + ", not above 0");
    return found;
  }

  Layer built(const KernelInfo* info) const {
    const Value *weight = runtime_.constant(info, kW), *bias = runtime_.constant(info, kB);
    const std::vector<int64_t> shape = runtime_.shape(weight, Type::kInt8), biases = runtime_.shape(bias, Type::kInt32);
    const Geometry geometry = runtime_.geometry(info, shape);
    if (biases != std::vector<int64_t>{shape[0]})
      throw std::invalid_argument("the bias is " + in_words(biases) + " for the weight " + in_words(shape));
    for (int8_t zero : numbers<int8_t>(info, kWZero, Type::kInt8, shape[0], "the weight's zero point"))
      if (zero) throw std::invalid_argument("a zero point of the weight is " + std::to_string(zero) + ", not 0");
    std::vector<float> scales = numbers<float>(info, kWScale, Type::kFloat, shape[0], "the weight's scale");
    const float x = scale(info, kXScale, "the input's scale"), y = scale(info, kYScale, "the output's scale");
    for (float& each : scales) each = x * each / y;  // in this order ONNX Runtime's own kernel does it
    return make_int8_layer(geometry, kernels_,
                           {runtime_.data<int8_t>(weight), runtime_.data<int32_t>(bias), scales.data(),
                            numbers<uint8_t>(info, kXZero, Type::kUint8, 1, "the input's zero point")[0],
                            numbers<uint8_t>(info, kYZero, Type::kUint8, 1, "the output's zero point")[0]});
  }

  Runtime runtime_;
  const Kernels& kernels_;
  Layer layer_;
};

Op make() {
  Op op{};
  describe<Kernel>(op, "QLinearGraphConv");
  op.get_input_type = [](const CustomOp*, size_t index) {
    constexpr Type types[] = {Type::kUint8, Type::kFloat, Type::kUint8, Type::kInt8, Type::kFloat,
                              Type::kInt8,  Type::kFloat, Type::kUint8, Type::kInt32};
    static_assert(std::size(types) == kInputs);
    return types[index];
  };
  op.get_input_count = [](const CustomOp*) -> size_t { return kInputs; };
  op.get_output_type = [](const CustomOp*, size_t) { return Type::kUint8; };
  return op;
}

}  // namespace

const CustomOp* int8_operator() {
  static const Op op = make();
  return &op;
}

}  // namespace rgp
