// The contract between drivers (csrc/cpu/*.cc) and kernels (csrc/cpu/kernels/*.cc): one table of functions
// and tile sizes for each instruction set.
//
// Kernels are compiled once per instruction set from the same source. They start no threads, allocate
// nothing, throw nothing and hold no data of their own; they read and write only what their arguments name.
// This header is seen by code of every instruction set, so it holds plain types and no functions.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

inline constexpr int kMaxGemmRows = 14, kMaxGemmVectors = 8;  // the largest tiles of any instruction set
inline constexpr int kMaxGemmDotColumns = 8;

// The part of a tile's last vector of columns that is there: all of it, a part, or at most the half, which
// CPUs with 256-bit units compute in half of the time of a 512-bit vector.
enum GemmEdge { kWholeEdge, kCutEdge, kHalfEdge, kGemmEdges };

// out[i, j] = alpha * sum_p A[i, p] * B[p, j] + beta * C[i, j] over one register tile.
struct GemmTile {
  int64_t depth;  // of p
  const float* a;
  int64_t a_row_stride, a_column_stride;
  const float* b;
  int64_t b_row_stride;  // columns of B, C and out are adjacent
  int64_t b_ahead;       // each row of B is prefetched so many values ahead of where it is read
  const float* c;        // not read where beta == 0; may be out
  int64_t c_row_stride;  // 0: one row for all, which is a bias
  float* out;
  int64_t out_row_stride;
  int columns;  // at most vectors * lanes; the masked kernel's edge
  float alpha, beta;
};
using GemmTileKernel = void (*)(const GemmTile&);

// The same where p is what lies adjacent in A and B': sum_p A[i, p] * B'[j, p], vectors along p.
struct GemmDot {
  int64_t depth;
  const float* a;
  int64_t a_row_stride;
  const float* b;
  int64_t b_row_stride;  // of B': a row is a column of out
  const float* c;
  int64_t c_row_stride;
  float* out;
  int64_t out_row_stride;
  float alpha, beta;
};
using GemmDotKernel = void (*)(const GemmDot&);

struct GemmKernels {
  int lanes;
  int rows;                   // of the highest tile
  int vectors[kMaxGemmRows];  // of columns in the widest tile of r rows, [r - 1]
  GemmTileKernel tile[kMaxGemmRows][kMaxGemmVectors]
                     [kGemmEdges];                      // [r - 1][v - 1][edge]: v vectors of columns
  int dot_rows;                                         // of the highest dot
  int dot_columns[kMaxGemmRows];                        // of the widest dot of r rows, [r - 1]
  GemmDotKernel dot[kMaxGemmRows][kMaxGemmDotColumns];  // [rows - 1][columns - 1]
  // Copies of `count` rows of a matrix into the columns of panels of `width`: row i, column p to
  // to[i / width * (width * depth) + p * width + i % width], for `depth` of p. A row lies adjacent in
  // pack_rows, a column in pack_columns. More than a panel needs a width of whole vectors. A panel narrower
  // than a vector spoils up to lanes - 1 values behind it; what the last panel has beyond `count` is
  // undefined.
  void (*pack_rows)(const float* from, int64_t stride, int64_t count, int64_t depth, float* to,
                    int64_t width);
  void (*pack_columns)(const float* from, int64_t stride, int64_t count, int64_t depth, float* to,
                       int64_t width);
};

// The register tile of direct convolution: rows x positions accumulators, and what feeds them, an input for
// each position and a broadcast weight. Few rows leave registers for more positions, up to these.
inline constexpr int kConvRows = 6, kMaxConvPositions = 8;

// Direct convolution. A position is one vector of neighbouring outputs in a row.
// y[r * y_stride + position] (+)= sum_p w[r * w_stride + p] * x[position + offset[p]], one row an output
// channel.
struct ConvTile {
  int64_t depth;  // of p, which runs over input channels and taps
  const float* w;
  int64_t w_stride;
  const int64_t* offset;
  const float* x[kMaxConvPositions];
  float* y[kMaxConvPositions];
  int count[kMaxConvPositions];  // lanes of each position to store
  int64_t y_stride;
  const float* bias;  // a value a row to begin with; null: begin with y
};
using ConvTileKernel = void (*)(const ConvTile&);

// The place of a position in a plane of outputs and in the staged input, its row, and its number of lanes.
struct ConvPosition {
  int64_t y, x;
  int64_t row;
  int count;
};

// dW[r * dw_stride + c] += sum over images, positions and lanes of dy * x: one row an output channel, one
// column an (input channel, tap).
struct ConvDot {
  int64_t images, dy_image_stride, x_image_stride;
  const float* dy;
  int64_t dy_row_stride;
  const float* x;
  const int64_t* offset;  // one a column
  const ConvPosition* whole_positions;
  int64_t whole;
  const ConvPosition* cut_positions;  // of less than all lanes
  int64_t cut;
  float* dw;
  int64_t dw_stride;
};
using ConvDotKernel = void (*)(const ConvDot&);

// dW[r, ty, tx] += sum over i of dz[r, i] * x[place[r, i], ty, tx], for rows r, one an output channel, of
// which `count` values of dy are not zero. x has a slot of kPooledSlot floats an output: what the output sees
// of its first tap row on; of tap row ty, it is `x_row` floats later for each ty.
struct ConvPooledDot {
  int64_t count;
  const float* dz;
  const int32_t* place;  // as dz, `count` a row
  int32_t last;  // 2^n - 1. Kernels mask each place with it, because a place may change after it was checked;
                 // x has last + 1 slots.
  const float* x;
  int64_t x_row;
  int columns;  // of taps, at most kPooledSlot
  float* dw;    // (rows, tap rows, columns)
  int64_t dw_row;
};
inline constexpr int kPooledSlot = 8, kMaxPooledTapRows = 7;
using ConvPooledDotKernel = void (*)(const ConvPooledDot&);

inline constexpr int kMaxDotRows = 5, kMaxDotColumns = 5, kPooledRows = 2;

struct ConvDotKernels {
  int lanes;
  int rows, columns;                               // of the largest tile
  ConvDotKernel dot[kMaxDotRows][kMaxDotColumns];  // [rows - 1][columns - 1]
  // to[i * kPooledSlot + j] = x[i + j] for i < count and j < kPooledSlot.
  void (*fill_slots)(const float* x, int64_t count, float* to);
  ConvPooledDotKernel pooled[kPooledRows][kMaxPooledTapRows];  // [rows - 1][tap rows - 1]
};

// Winograd's convolution of one size: patches of 8 x 8 inputs, for kernels of 3 x 3 and 5 x 5 weights.
// Transformed, each patch, kernel and patch of outputs is 64 values, and a product of two patches is one of
// values.
inline constexpr int kWinogradSize = 8, kWinogradValues = kWinogradSize * kWinogradSize;

// Transformed patches: value q of patch i is at data[q / lanes * plane + i * lanes + q % lanes], with the
// lanes of WinogradKernels, so that a vector has neighbouring values of one patch.
struct WinogradPatches {
  float* data;
  int64_t plane;
};

// `count` patches, a channel each: of images, what lies in rows and columns [begin, end) of a patch; the rest
// is outside and reads as zero. `values` is where the first row of the patch would be, inside or not.
struct WinogradImages {
  int64_t count;
  const float* values;
  int64_t channel, row;  // strides
  int row_begin, row_end, column_begin, column_end;
};

// out[i, j] = (out[i, j] if `add`) + sum_p a[i, p] * b[j, p], value by value, in one plane of patches.
struct WinogradTile {
  int64_t depth;
  const float* a;
  int64_t a_row, a_depth;
  const float* b;
  int64_t b_row, b_depth;
  float* out;
  int64_t out_row, out_column;
  bool add;
};
using WinogradTileKernel = void (*)(const WinogradTile&);

inline constexpr int kMaxWinogradRows = 5, kMaxWinogradColumns = 5;

struct WinogradProductKernels {
  int lanes;
  int rows, columns;                                               // of the largest tile
  WinogradTileKernel tile[kMaxWinogradRows][kMaxWinogradColumns];  // [rows - 1][columns - 1]
};

// The maxima of the windows of 2 x 2 of a patch of outputs, (rows, columns) of them, and their places in the
// plane of outputs: that of the patch's first is `place`. `maxima` writes both.
struct WinogradMaxima {
  int64_t count;
  const float* y;
  const int32_t* index;
  int64_t channel, row;  // strides of both
  int rows, columns;
  int32_t place, plane_row;
};

// Transforms between images and patches of `lanes`.
using WinogradForward = void (*)(const WinogradImages& from, const WinogradPatches& to, int lanes);

struct WinogradTransform {
  WinogradForward forward;
  // The values replace what was there; plus bias[i] in channel i where `bias` is not null.
  void (*adjoint)(const WinogradPatches& from, int lanes, const WinogradImages& to, const float* bias);
};

// [0] for kernels of 3 x 3, [1] for 5 x 5; ops as in winograd_matrices.py.
struct WinogradTransformKernels {
  WinogradForward input;  // B
  // Its adjoint is added to what was there.
  void (*input_adjoint_add)(const WinogradPatches& from, int lanes, const WinogradImages& to);
  WinogradTransform weight[2];  // G
  WinogradTransform output[2];  // A
  // The adjoint of output[1], plus `bias` unless it is null, pooled.
  void (*maxima)(const WinogradPatches& from, int lanes, const WinogradMaxima& to, const float* bias);
  // output[1] of patches that are 0 but for the maxima, each in its window.
  void (*from_maxima)(const WinogradMaxima& from, const WinogradPatches& to, int lanes);
};

// Winograd's convolution along rows alone: a tile of 8 neighbouring inputs of a row, for m = 9 - r outputs.
// Each lane has rows of its own, of this image or that, so what is computed lies (..., lanes).

// Two rows of outputs of a channel, (2, columns). Row i of the first has taps in rows v[0] to v[r - 1], of
// the second in v[1] to v[r]; each (channels, tiles, 8, lanes), transformed. u (channels, r, 8): the
// channel's.
struct WinogradRowPair {
  const float* v[6];
  int64_t v_channel, channels;
  const float* u;
  float bias;
  int64_t columns;
  int rows;  // wanted: 1 or 2
};

inline constexpr int kMaxRowLanes = 16;

struct WinogradRowKernels {
  int lanes;  // at most kMaxRowLanes
  // to[i * lanes + n] = x[n][i] for i < count, or 0 where x[n] is null.
  void (*to_lanes)(const float* const* x, int64_t count, float* to);
  // x[n][i] = from[i * lanes + n] for i < count, unless x[n] is null.
  void (*from_lanes)(const float* from, int64_t count, float* const* x);
  struct Size {
    // u (rows, 8) of w (rows, r).
    void (*weights)(const float* w, int64_t rows, float* u);
    // v (tiles, 8, lanes) of x (m * tiles + r - 1, lanes).
    void (*inputs)(const float* x, int64_t tiles, float* v);
    // to (rows, columns, lanes).
    void (*rows)(const WinogradRowPair&, float* to);
    // The maxima of windows of 2 x 2 and their places: to and index (columns / 2, lanes). The first output is
    // at place[n] + offset in lane n.
    void (*maxima)(const WinogradRowPair&, const int32_t* place, int32_t offset, float* to, int32_t* index);
  };
  Size size[2];  // [0] for kernels of 3 x 3, [1] for 5 x 5
};

struct ConvTileKernels {
  int lanes;                                          // floats a vector
  int positions[kConvRows];                           // of the largest tile, [rows - 1]
  ConvTileKernel tile[kConvRows][kMaxConvPositions];  // [rows - 1][positions - 1]
};

struct Conv2dKernels {
  ConvTileKernels tiles;
  ConvTileKernels wide;  // of more lanes, as fast where they have something to do; the same if there are none
  // to[i] = from[i * stride] for i in [0, count).
  void (*copy_strided)(const float* from, int64_t stride, int64_t count, float* to);
  WinogradTransformKernels winograd;
};

struct ReduceKernels {
  double (*sum)(const float* x, int64_t count);
  // to[j] += sum over rows of x[i * stride + j], in double and rounded once.
  void (*add_rows)(const float* x, int64_t rows, int64_t columns, int64_t stride, float* to);
  // y = a + b; y may be a.
  void (*add)(const float* a, const float* b, int64_t count, float* y);
};

struct PeakKernels {
  float (*fma_chains)(int64_t steps);
  int flops_per_step;
};

// A block of pooling windows of one plane that all see the same taps: output (i, j) of it sees
// x[i * x_row + j * x_column + u * tap_row + v * tap_column] for u < tap_rows and v < tap_columns, at least
// one of each, and is y[i * y_row + j].
struct PoolWindows {
  int64_t rows, columns;
  int64_t x_row, x_column;  // x_column is 1 where there is one column
  int64_t y_row;
  int64_t tap_rows, tap_columns, tap_row, tap_column;
  int32_t first;  // place of x[0] in its plane
  float divisor;  // of averages
};

struct Pool2dKernels {
  // Whether each of `count` places is from 0 to last.
  bool (*inside)(const int32_t* place, int64_t count, int32_t last);
  // Whether each of these places, none negative, is in its window of 2 x 2: corner + {0, 1, row, row + 1}.
  // All planes have the same corners.
  bool (*in_windows)(const int32_t* place, int64_t planes, const int32_t* corner, int64_t windows,
                     int32_t row);
  void (*max)(const PoolWindows&, const float* x, float* y, int32_t* index);
  void (*average)(const PoolWindows&, const float* x, float* y);
  // dx += dy / divisor at every tap; dx and dy lie as x and y.
  void (*average_backward)(const PoolWindows&, const float* dy, float* dx);
};

// Outputs may be inputs.
struct ActivationKernels {
  using Forward = void (*)(const float* x, int64_t count, float* y);
  using Backward = void (*)(const float* dy, const float* y, int64_t count, float* dx);
  Forward relu, tanh, sigmoid;
  Backward relu_backward, tanh_backward, sigmoid_backward;
};

// Targets of a row: t_j = smoothing / classes, plus (1 - smoothing) * (probabilities[j], or 1 for j ==
// label).
struct RowTarget {
  int64_t label;  // where probabilities is null; or kIgnoredRow, whose loss is 0
  const float* probabilities;
  float smoothing;
};

inline constexpr int64_t kIgnoredRow = -1;
inline constexpr int kLossRows = 16;

struct SoftmaxKernels {
  void (*softmax)(const float* x, int64_t classes, float* y);
  void (*log_softmax)(const float* x, int64_t classes, float* y);
  // The losses of at most kLossRows rows, and softmax(x).
  void (*cross_entropies)(const float* x, int rows, int64_t classes, const RowTarget*, float* losses,
                          float* probabilities);
  // The gradient of one row, which is not ignored.
  void (*cross_entropy_backward)(const float* probabilities, int64_t classes, const RowTarget&, float scale,
                                 float* dx);
};

struct CountCorrectKernels {
  // Labels are of 0 to classes - 1.
  int64_t (*count)(const float* scores, const int64_t* labels, int64_t rows, int64_t classes);
};

struct SquaredErrorKernels {
  void (*each)(const float* prediction, const float* target, int64_t count, float* error);
  double (*sum)(const float* prediction, const float* target, int64_t count);
  // grad = factor * each[i] * (prediction - target), without each[i] where `each` is null.
  void (*backward)(const float* prediction, const float* target, const float* each, float factor,
                   int64_t count, float* grad);
};

// A step of Adam with all that does not depend on the parameter computed beforehand.
struct AdamFactors {
  float keep_first, take_first;    // beta1 and 1 - beta1
  float keep_second, take_second;  // beta2 and 1 - beta2
  float rate, root, eps;           // rate * first / (root * sqrt(second) + eps), corrected for the bias
  float decay, shrink;             // of the gradient by the parameter, and of the parameter itself
};

// A block of an array of rows of channels: value i of channel c in row r lies at r * row_stride + c * length
// + i.
struct ChannelBlock {
  int64_t rows, channels, length, row_stride;
};

// dx = scale * (dy + slope * (x - center) + constant), with one value of each per channel.
struct InputGradientTerms {
  const float *center, *scale, *slope, *constant;
};

// Arrays have one value per channel, unless they hold the block's values. Sums are taken in double: the
// square of 1e20 is beyond float32.
struct BatchNormKernels {
  // center: about the mean; sum and squares: of x - center and of its square.
  void (*moments)(const float* x, const ChannelBlock&, float* center, double* sum, double* squares);
  // y = (x - center) * scale + shift
  void (*normalize)(const float* x, const ChannelBlock&, const float* center, const float* scale,
                    const float* shift, float* y);
  // sum: of dy; products: of dy * (x - center); deviations: of x - center.
  void (*gradient_sums)(const float* dy, const float* x, const ChannelBlock&, const float* center,
                        double* sum, double* products, double* deviations);
  void (*input_gradient)(const float* dy, const float* x, const ChannelBlock&, const InputGradientTerms&,
                         float* dx);
};

// ops/dropout.h has the formula. Groups are of 64 values.
inline constexpr int kDropoutGroup = 64;
struct DropoutCounter {
  uint64_t seed;
  uint32_t step, stream;
  int64_t group;  // of x[0]
};

struct DropoutKernels {
  // Dropped where 1 + u < limit, else times scale.
  void (*dropout)(const DropoutCounter&, float limit, float scale, const float* x, int64_t count, float* y);
};

struct OptimizerKernels {
  // ops/optimizer.h has the formula.
  void (*sgd)(float lr, float momentum, float weight_decay, bool nesterov, int64_t count, float* parameters,
              const float* gradients, float* velocity);
  void (*adam)(const AdamFactors&, int64_t count, float* parameters, const float* gradients, float* first,
               float* second);
};

struct GatherKernels {
  // to = bytes * scale + offset
  void (*bytes)(const uint8_t* bytes, int64_t count, float scale, float offset, float* to);
};

struct KernelTable {
  GemmKernels gemm;
  Conv2dKernels conv2d;
  ConvDotKernels conv2d_dots;
  WinogradProductKernels winograd;
  WinogradRowKernels winograd_rows;
  ReduceKernels reduce;
  Pool2dKernels pool2d;
  ActivationKernels activation;
  SoftmaxKernels softmax;
  CountCorrectKernels count_correct;
  SquaredErrorKernels squared_error;
  BatchNormKernels batch_norm;
  DropoutKernels dropout;
  OptimizerKernels optimizer;
  GatherKernels gather;
  PeakKernels peak;
};

}  // namespace byhand::cpu
