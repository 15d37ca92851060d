// Where taps find their pixels, and the copies in which they do.
#include "source.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace rgp {
namespace {

// Sets bits first .. first + count - 1 of a row of 16-bit words.
void set_bits(uint16_t* words, int64_t first, int64_t count) {
  while (count > 0) {
    const int64_t bit = first % 16, n = std::min<int64_t>(16 - bit, count);
    words[first / 16] |= static_cast<uint16_t>(((1u << n) - 1) << bit);
    first += n;
    count -= n;
  }
}

// The first i with i * stride >= before, and the first with i * stride >= side + before, at most `most`.
std::pair<int64_t, int64_t> inside(int64_t before, int64_t side, int64_t stride, int64_t most) {
  const int64_t from = std::clamp<int64_t>(ceil_div(std::max<int64_t>(before, 0), stride), 0, most);
  return {from, std::clamp<int64_t>(ceil_div(std::max<int64_t>(side + before, 0), stride), from, most)};
}

// What stands for zero in a copy.
float blank_word(const Layer& layer) {
  const uint32_t word = layer.x_zero * 0x01010101u;
  float blank;
  std::memcpy(&blank, &word, sizeof(blank));
  return blank;
}

// Beyond the last plane whole tiles are read.
int64_t room(const Kernels& kernels) { return kMaxVectors * kernels.lanes; }

// A copy with rows `wide` floats apart.
Source planes(const Layer& layer, const Kernels& kernels, int64_t columns, int64_t rows, int64_t count, int64_t wide) {
  Source s;
  s.columns = columns;
  s.phases = std::min(layer.geometry.stride_h, layer.geometry.kernel_h);
  s.rows = rows;
  s.wide = wide;
  s.count = count;
  int64_t plane = 0;
  if (__builtin_mul_overflow(rows, wide, &plane) || __builtin_mul_overflow(plane, columns * s.phases, &plane) ||
      __builtin_mul_overflow(plane, layer.geometry.channels, &s.size) ||
      __builtin_add_overflow(s.size, room(kernels), &s.size))
    throw std::bad_alloc();
  s.plane = plane;
  return s;
}

}  // namespace

Source in_place(const Geometry& g, const Image& im, int64_t vectors) {
  Source s;
  s.plane = im.height * im.width;
  const bool pointwise = g.kernel_h == 1 && g.kernel_w == 1;
  if (!pointwise) s.masks.assign(g.kernel_h * g.kernel_w * vectors, 0);
  for (int64_t i = 0; i < g.kernel_h; ++i)
    for (int64_t j = 0; j < g.kernel_w; ++j) {
      const int64_t dy = i - g.top, dx = j - g.left;
      s.shifts.push_back(dy * im.width + dx);
      if (pointwise) continue;
      uint16_t* words = s.masks.data() + (s.shifts.size() - 1) * vectors;
      const int64_t from_x = std::max<int64_t>(0, -dx), to_x = std::min(im.width, im.width - dx);
      const int64_t from_y = std::max<int64_t>(0, -dy), to_y = std::min(im.height, im.height - dy);
      for (int64_t y = from_y; y < to_y; ++y) set_bits(words, y * im.width + from_x, to_x - from_x);
    }
  return s;
}

Source flat(const Layer& layer, const Kernels& kernels, const Image& im) {
  const Geometry& g = layer.geometry;
  Source s = planes(layer, kernels, g.kernel_w, im.out_height + (g.kernel_h - 1) / g.stride_h, im.out_width,
                    im.out_width);
  const auto shift = [&](int64_t i, int64_t j) {
    return (j * s.phases + i % g.stride_h) * s.phase() + i / g.stride_h * s.row();
  };
  if (layer.by_tap) {
    for (int64_t i = 0; i < g.kernel_h; ++i)
      for (int64_t j = 0; j < g.kernel_w; ++j) s.shifts.push_back(shift(i, j));
  } else {
    for (int64_t j = 0; j < g.kernel_w; ++j)
      for (int64_t i = 0; i < g.kernel_h; ++i) s.shifts.push_back(shift(i, j));
  }
  return s;
}

Source tall(const Layer& layer, const Kernels& kernels, const Image& im, int64_t out_rows) {
  const Geometry& g = layer.geometry;
  const int64_t count = im.out_width + (g.kernel_w - 1) / g.stride_w;
  Source s = planes(layer, kernels, std::min(g.stride_w, g.kernel_w), out_rows + (g.kernel_h - 1) / g.stride_h, count,
                    ceil_div(count, kernels.lanes) * kernels.lanes);
  for (int64_t j = 0; j < g.kernel_w; ++j) s.shifts.push_back(j % g.stride_w * s.phases * s.phase() + j / g.stride_w);
  return s;
}

void copy(const Layer& layer, const Kernels& kernels, const Image& im, const Source& s, const void* x, int64_t of_image,
          int64_t out_row, int64_t begin, int64_t end, float* out) {
  const Geometry& g = layer.geometry;
  const int64_t in_plane = im.height * im.width, size = layer.element();
  const float blank = blank_word(layer);
  for (int64_t channel = begin; channel < end; ++channel) {
    Rows r{};
    const char* in = static_cast<const char*>(x);
    if (layer.together > 1) {
      in += of_image * layer.inputs * in_plane * size;
      for (int i = 0; i < layer.together; ++i) r.channels[i] = layer.members[layer.together * channel + i] * in_plane;
    } else {
      in += (of_image * g.channels + channel) * in_plane * size;
    }
    r.in_row = g.stride_h * im.width;
    r.out_row = s.wide;
    r.count = s.count;
    r.stride = g.stride_w;
    r.blank = blank;
    float* to = out + channel * s.plane;
    for (int64_t j = 0; j < s.columns; ++j)
      for (int64_t phase = 0; phase < s.phases; ++phase, to += s.phase()) {
        const int64_t above = g.top - phase - out_row * g.stride_h;  // rows of padding above the first
        const auto [first_row, end_row] = inside(above, im.height, g.stride_h, s.rows);
        const auto [first, last] = inside(g.left - j, im.width, g.stride_w, s.count);
        std::fill(to, to + first_row * s.wide, blank);
        r.in = in + ((first_row * g.stride_h - above) * im.width + j - g.left) * size;
        r.out = to + first_row * s.wide;
        r.rows = end_row - first_row;
        r.from = first;
        r.to = last;
        if (r.rows > 0) kernels.pack(r);  // none where all is padding
        std::fill(to + end_row * s.wide, to + s.phase(), blank);
      }
  }
  if (end == g.channels) std::fill_n(out + end * s.plane, room(kernels), blank);
}

}  // namespace rgp
