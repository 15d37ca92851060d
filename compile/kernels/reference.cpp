// The convolution as its definition says: plain loops, sums in double.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph_conv.h"

namespace rgp {

void reference(const Geometry& g, const Image& im, const float* x, const float* weight, const float* bias,
               const float* residual, float low, float high, float* y) {
  for (int64_t b = 0; b < im.batch; ++b)
    for (int64_t o = 0; o < g.outputs; ++o)
      for (int64_t oy = 0; oy < im.out_height; ++oy)
        for (int64_t ox = 0; ox < im.out_width; ++ox) {
          double sum = bias ? bias[o] : 0;
          for (int64_t c = 0; c < g.channels; ++c)
            for (int64_t i = 0; i < g.kernel_h; ++i)
              for (int64_t j = 0; j < g.kernel_w; ++j) {
                const int64_t iy = oy * g.stride_h + i - g.top, ix = ox * g.stride_w + j - g.left;
                if (iy < 0 || iy >= im.height || ix < 0 || ix >= im.width) continue;
                const float w = weight[((o * g.channels + c) * g.kernel_h + i) * g.kernel_w + j];
                if (w != 0) sum += double(w) * x[((b * g.channels + c) * im.height + iy) * im.width + ix];
              }
          const int64_t at = ((b * g.outputs + o) * im.out_height + oy) * im.out_width + ox;
          const float value = static_cast<float>(sum) + (residual ? residual[at] : 0);
          y[at] = value < low ? low : value > high ? high : value;  // NaN stays NaN
        }
}

void bf16_reference(const Geometry& g, const Image& im, const uint16_t* x, const uint16_t* weight, const float* bias,
                    const uint16_t* residual, float low, float high, float* y) {
  const auto widened = [](const uint16_t* halves, int64_t count) {
    std::vector<float> wide(halves ? count : 0);
    for (size_t i = 0; i < wide.size(); ++i) {
      const uint32_t bits = uint32_t{halves[i]} << 16;
      std::memcpy(&wide[i], &bits, sizeof(bits));
    }
    return wide;
  };
  const std::vector<float> pixels = widened(x, im.batch * g.channels * im.height * im.width),
                           weights = widened(weight, g.outputs * g.channels * g.kernel_h * g.kernel_w),
                           added = widened(residual, im.batch * g.outputs * im.out_height * im.out_width);
  reference(g, im, pixels.data(), weights.data(), bias, residual ? added.data() : nullptr, low, high, y);
}

void int8_reference(const Geometry& g, const Image& im, const uint8_t* x, const Int8& numbers, uint8_t* y) {
  for (int64_t b = 0; b < im.batch; ++b)
    for (int64_t o = 0; o < g.outputs; ++o)
      for (int64_t oy = 0; oy < im.out_height; ++oy)
        for (int64_t ox = 0; ox < im.out_width; ++ox) {
          int64_t sum = numbers.bias ? numbers.bias[o] : 0;
          for (int64_t c = 0; c < g.channels; ++c)
            for (int64_t i = 0; i < g.kernel_h; ++i)
              for (int64_t j = 0; j < g.kernel_w; ++j) {
                const int64_t iy = oy * g.stride_h + i - g.top, ix = ox * g.stride_w + j - g.left;
                if (iy < 0 || iy >= im.height || ix < 0 || ix >= im.width) continue;
                const int value = x[((b * g.channels + c) * im.height + iy) * im.width + ix] - numbers.x_zero;
                sum += value * numbers.weight[((o * g.channels + c) * g.kernel_h + i) * g.kernel_w + j];
              }
          const float value = std::nearbyintf(static_cast<float>(sum) * numbers.scale[o]) + numbers.y_zero;
          y[((b * g.outputs + o) * im.out_height + oy) * im.out_width + ox] =
              static_cast<uint8_t>(std::clamp(value, 0.f, 255.f));
        }
}

}  // namespace rgp
