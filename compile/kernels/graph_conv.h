// A convolution whose output channels read few input channels: what is known of it, and how it is run.
//
// Tensors are NCHW, float32, bfloat16 or uint8. The weight comes dense, (O, C, kh, kw), with zeros where nothing is read: who
// reads whom is found in it, so no table beside it can disagree. Outputs that read the same inputs ("twins": one node of
// the graph) are computed together, some rows at a time: a strip. docs/kernel.md has the pictures.
//
// What is multiplied are words of four bytes: a float32, or the same pixel of several channels, two in bfloat16, four in
// int8. A float in what follows may be such a word, and "channels" are words then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace rgp {

// Static: every instruction set must have its own (tile.h).
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Geometry {
  int64_t channels, outputs;          // C, O
  int64_t kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t top, left, bottom, right;   // zero padding
};

constexpr int kMaxRows = 8;       // output channels computed together
constexpr int kMaxVectors = 14;   // vectors of pixels in a tile
constexpr int kMaxTall = 6;       // rows of pixels in a tall tile

// What is computed together: output channels that read the same inputs.
struct Strip {
  int rows;                 // 1, 2, 4 or 8
  int fan_in;               // input channels read
  int32_t outputs[kMaxRows];
  size_t channels;          // where in Layer::channels, in ascending order
  size_t weights;           // where in Layer::weights, in the order that the tiles use
  size_t cuts;              // where in Layer::cuts; there for each panel the first place in the list of channels
  float bias[kMaxRows];     // int8 has an int32 here
  float scale[kMaxRows];    // int8 only: steps of the output in one of the sum
};

// What Winograd's form has for a tile, or for a weight of 3x3.
constexpr int kSums = 16;
struct alignas(kSums * sizeof(float)) Sums {
  float sum[kSums];
};

// What does not change from call to call. Built once, then only read: any number of calls may run at once.
struct Layer {
  Geometry geometry;
  float low, high;          // the result is clamped: ReLU is 0 and infinity
  bool by_tap;              // weights are [tap][channel][row] (8 rows), else [channel][tap column][tap row][row]
  // 1x1: the input channels are taken in panels, whose pixels stay in the nearest cache while every strip reads them
  int panel_vectors, panels;  // 0 and 1 for other kernels
  std::vector<Strip> strips;
  std::vector<int32_t> channels;
  std::vector<float> weights;  // words
  std::vector<int32_t> cuts;
  std::vector<Sums> winograd;  // the weights in that form, [channel][row], a strip of 8 rows as two of 4; or empty
  int together = 1;         // channels in a word: 1 in float32, 2 in bfloat16, 4 in int8
  // if these are several
  int64_t inputs = 0;       // input channels, `geometry` has the words
  std::vector<int32_t> members;  // the channels of each word; for those that are missing in the last stands its first
  // int8 only
  uint8_t x_zero = 0, y_zero = 0;  // what stands for 0 in the input and in the output
  bool small = false;       // no scale takes a sum beyond int32

  int64_t element() const { return static_cast<int64_t>(sizeof(float)) / together; }  // bytes of a number in a tensor
};

struct Kernels;

// `bias` may be null. Throws std::invalid_argument if the geometry makes no sense.
Layer make_layer(const Geometry& geometry, const Kernels& kernels, const float* weight, const float* bias, float low,
                 float high);

// The same for bfloat16; `kernels` are bf16_kernels(). Sums are float32, and rounded to even at the end.
Layer make_bf16_layer(const Geometry& geometry, const Kernels& kernels, const uint16_t* weight, const float* bias,
                      float low, float high);

// What QLinearConv of ONNX has: sums of (x - x_zero) * weight + bias in int32, times scale, rounded to even, + y_zero,
// saturated to uint8.
struct Int8 {
  const int8_t* weight;     // (O, C, kh, kw)
  const int32_t* bias;      // (O), may be null
  const float* scale;       // (O): the input's times the weight's, over the output's
  uint8_t x_zero, y_zero;
};

// The same for int8; `kernels` are int8_kernels().
Layer make_int8_layer(const Geometry& geometry, const Kernels& kernels, const Int8& numbers);

// The output's height or width, 0 if the kernel is larger than the padded image.
int64_t output_side(int64_t side, int64_t before, int64_t after, int64_t kernel, int64_t stride);

// One call's sizes. x (batch, C, height, width); residual and y (batch, O, out_height, out_width); residual may be null,
// and is not y.
struct Image {
  int64_t batch, height, width, out_height, out_width;
};

// Part of a call: some vectors of output pixels, one after the other, for one strip or bundle of strips.
struct Tile {
  const float* x;            // input channel 0: what a tap of shift 0 reads for the first pixel
  ptrdiff_t x_plane;         // floats from one input channel to the next
  const int32_t* channels;
  int fan_in;
  const ptrdiff_t* shifts;   // for each tap, in the order of the weights
  int taps;
  const uint16_t* masks;     // [tap][vector] which lanes read inside the image, or null: all do
  ptrdiff_t mask_stride;
  const float* weights;
  const float* bias;
  const float* scale;        // int8 only, as what follows
  int zero;                  // of the output
  bool small;                // no step is beyond int32
  const void* residual;      // output channel 0, first pixel; or null
  void* y;                   // likewise: float32, bfloat16 or bytes
  ptrdiff_t y_plane;         // in numbers, as all strides of y are
  const int32_t* outputs;
  float low, high;
  bool begins, ends;         // the sums begin with the bias, else with what is in y; end in y with everything done
  int last;                  // pixels in the last vector, the others are whole
  bool column;               // 8 rows: one pixel more, behind whole vectors

  // tall tiles only: rows of pixels
  int tap_columns;           // `shifts` has one for each
  ptrdiff_t x_row;           // floats from one row of input to the next of the same phase
  ptrdiff_t x_phase;         // floats from the rows 0, 2, 4.. to the rows 1, 3, 5.. (stride 2)
  ptrdiff_t y_row;

  // Winograd only: weights that are needed later, and how many lines of them to fetch with each channel
  const float* ahead;
  int ahead_each;
};

// Rows of pixels to copy: out[i] is in[i * stride] for i in [from, to), else `blank`.
struct Rows {
  const void* in;            // float32, bfloat16 or bytes; may lie before the tensor, in + from * stride never does
  ptrdiff_t in_row;          // in numbers
  float* out;
  ptrdiff_t out_row;
  int64_t rows, from, to, count, stride;
  float blank;               // a word
  ptrdiff_t channels[4];     // not in float32: numbers from `in` to each channel of the word
};

// Winograd, one input channel: rows of tiles of 4x4 padded pixels, to their 16 sums each.
struct TilesIn {
  const float* in;
  ptrdiff_t row;             // floats from one row of pixels to the next
  int64_t rows, across;      // rows of tiles, tiles in a row
  float* out;
};

// Winograd, one output channel: 16 sums a tile to 2x2 pixels of the output.
struct TilesOut {
  const float* in;           // room for three tiles more behind them
  int64_t rows, across;
  int64_t height, width;     // of the output from here on: its last tiles may stand out
  const float* residual;     // or null
  float* y;                  // rows `width` floats apart
  float bias, low, high;
};

using TileFn = void (*)(const Tile&);

// What one instruction set offers. One translation unit each; a null pointer: not of this machine's architecture.
// Tables are by rows (1, 2, 4, 8: index 0 to 3); a null function: not offered.
struct Kernels {
  const char* name;
  int lanes;                                         // pixels in a vector
  int most_masked;                                   // vectors in the largest flat tile that knows masks; 0: none
  TileFn flat[4][kMaxVectors + 1];                   // [vectors]: pixels one after the other, any kernel
  TileFn tall[2][4][kMaxVectors + 1][kMaxTall + 1];  // [stride - 1][..][vectors][rows of pixels]: 3 tap rows
  void (*pack)(const Rows&);
  double (*peak)(int64_t rounds);                    // multiply-adds a round, for measuring the CPU
  TileFn winograd[3][kMaxVectors + 1] = {};          // [1, 2 or 4 rows][tiles]; float32 only, as what follows
  void (*tiles_in)(const TilesIn&) = nullptr;
  void (*tiles_out)(const TilesOut&) = nullptr;
  void (*fetch_out)(const TilesOut&) = nullptr;       // the lines that it will write and read
  int most_columned = 0;                             // vectors in the largest flat tile that knows columns; 0: none

  static constexpr int kind(int rows) { return rows == 8 ? 3 : rows == 4 ? 2 : rows - 1; }
  int most_vectors(int rows) const;                  // in the largest flat tile
};
const Kernels* avx512();
const Kernels* avx512_bf16();  // bfloat16
const Kernels* avx512_vnni();  // int8
const Kernels* avx2();
const Kernels* neon();
const Kernels* portable();

// The best that this CPU runs, or the one that RGP_ISA names (std::invalid_argument if it cannot be).
const Kernels& kernels();

// The same for other types; null where there is none: this CPU lacks it, or RGP_ISA names another.
const Kernels* bf16_kernels();
const Kernels* int8_kernels();

// Calls work(0) to work(count - 1), possibly at once on several threads.
using ParallelFor = std::function<void(size_t count, const std::function<void(size_t)>& work)>;
// Scratch for one call; freed by its owner after the call. May throw std::bad_alloc.
using Allocate = std::function<void*(size_t bytes)>;

// x, residual and y are of the layer's type.
void run(const Layer& layer, const Kernels& kernels, const Image& image, const void* x, const void* residual, void* y,
         const ParallelFor& parallel_for, const Allocate& allocate);

// Whether Winograd's form is less work at this size: never but for 3x3, stride 1, float32.
bool winograd_fits(const Layer& layer, const Kernels& kernels, const Image& image);

// Gives a layer of 3x3, stride 1, in float32 its weights in that form.
void add_winograd(Layer& layer);

// run() by Winograd's form, which the layer must have. The output must not be empty.
void run_winograd(const Layer& layer, const Kernels& kernels, const Image& image, const float* x, const float* residual,
                  float* y, const ParallelFor& parallel_for, const Allocate& allocate);

// The same by plain loops over the dense weight: what every fast way is tested against.
void reference(const Geometry& geometry, const Image& image, const float* x, const float* weight, const float* bias,
               const float* residual, float low, float high, float* y);
// `y` is not rounded to bfloat16 yet.
void bf16_reference(const Geometry& geometry, const Image& image, const uint16_t* x, const uint16_t* weight,
                    const float* bias, const uint16_t* residual, float low, float high, float* y);
void int8_reference(const Geometry& geometry, const Image& image, const uint8_t* x, const Int8& numbers, uint8_t* y);

}  // namespace rgp
