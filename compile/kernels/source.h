// How a call reads its input: the tensor itself, or a copy in planes where every tap of the kernel is a shift.
#pragma once

#include "graph_conv.h"

namespace rgp {

struct Source {
  ptrdiff_t plane = 0;          // floats from one channel to the next
  std::vector<ptrdiff_t> shifts;  // for each tap (for each tap column, if tall)
  std::vector<uint16_t> masks;  // [tap][vector], or empty
  // a copy only: [channel][tap column][row phase][row][pixel]
  int64_t columns = 0, phases = 0, rows = 0, wide = 0;
  int64_t count = 0;            // pixels of a row that are read, at most `wide`
  int64_t size = 0;             // floats of all channels, and what tiles read behind them; 0: no copy
  ptrdiff_t row() const { return wide; }
  ptrdiff_t phase() const { return rows * wide; }
};

// The tensor itself, where output and input have the same size (stride 1, "same" padding): lanes that would read outside
// of the image are masked off.
Source in_place(const Geometry& geometry, const Image& image, int64_t vectors);

// A copy of an image: for each tap column (and each row phase of the stride) a plane with rows as wide as the output's,
// so that output pixels follow each other without gaps.
Source flat(const Layer& layer, const Kernels& kernels, const Image& image);

// A copy for so many rows of the output: planes with a border of zeros, and whole vectors to a row. A plane is for a
// column phase of the stride: tap columns of the same phase are shifts.
Source tall(const Layer& layer, const Kernels& kernels, const Image& image, int64_t out_rows);

// Makes some channels of a copy, for the output's rows from `out_row` on, at `out`, where the copy begins.
void copy(const Layer& layer, const Kernels& kernels, const Image& image, const Source& source, const void* x,
          int64_t of_image, int64_t out_row, int64_t begin, int64_t end, float* out);

}  // namespace rgp
