// Batch normalization: the statistics of each channel, and the formulas that use them.
#include "cpu/kernels/batch_norm.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// Visits all channels in one of two ways, so that vectors have work in all lanes. If each channel has
// several values per row, calls plane(c) for each channel c, and vectors hold neighbouring values of this
// channel. If each channel has one value per row, calls columns(c, n) for the n channels from c on, and each
// lane of a vector is a channel.
template <class Plane, class Columns>
inline void for_channels(const ChannelBlock& b, Plane plane, Columns columns) {
  if (b.length == 1) return for_vectors(b.channels, columns);
  for (int64_t c = 0; c < b.channels; ++c) plane(c);
}

// Calls f(first + r * row_stride) for each row r of the block. The argument of f is the offset of value
// `first` of row r.
template <class F>
inline void for_rows(const ChannelBlock& b, int64_t first, F f) {
  for (int64_t r = 0; r < b.rows; ++r) f(first + r * b.row_stride);
}

// Makes two passes over each channel. The first computes the mean and rounds it to float32. The second adds
// up the deviations from this rounded mean, and the squares of the deviations. The sum of the deviations
// would be zero without the rounding. The driver uses this sum to correct the rounding error.
void moments(const float* x, const ChannelBlock& b, float* center, double* sum, double* squares) {
  const double count = static_cast<double>(b.rows * b.length);
  for_channels(
      b,
      [&](int64_t c) {
        DoubleSum total, deviation, square;
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) { total.add(load(x + row + i, n)); });
        });
        center[c] = static_cast<float>(total.total() / count);
        const Vec middle = Vec::set(center[c]);
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) {
            const Vec d = fill_rest(load(x + row + i, n) - middle, n, Vec::zero());
            deviation.add(d);
            square.add_product(d, d);
          });
        });
        sum[c] = deviation.total();
        squares[c] = square.total();
      },
      [&](int64_t c, auto n) {
        DoubleSum total, deviation, square;
        for_rows(b, c, [&](int64_t row) { total.add(load(x + row, n)); });
        const Vec middle = total.over(count);
        for_rows(b, c, [&](int64_t row) {
          const Vec d = load(x + row, n) - middle;
          deviation.add(d);
          square.add_product(d, d);
        });
        store(middle, center + c, n);
        store(deviation, sum + c, n);
        store(square, squares + c, n);
      });
}

void normalize(const float* x, const ChannelBlock& b, const float* center, const float* scale,
               const float* shift, float* y) {
  for_channels(
      b,
      [&](int64_t c) {
        const Vec middle = Vec::set(center[c]), factor = Vec::set(scale[c]), offset = Vec::set(shift[c]);
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) {
            store(fma(load(x + row + i, n) - middle, factor, offset), y + row + i, n);
          });
        });
      },
      [&](int64_t c, auto n) {
        const Vec middle = load(center + c, n), factor = load(scale + c, n), offset = load(shift + c, n);
        for_rows(b, c,
                 [&](int64_t row) { store(fma(load(x + row, n) - middle, factor, offset), y + row, n); });
      });
}

void gradient_sums(const float* dy, const float* x, const ChannelBlock& b, const float* center, double* sum,
                   double* products, double* deviations) {
  for_channels(
      b,
      [&](int64_t c) {
        const Vec middle = Vec::set(center[c]);
        DoubleSum total, product, deviation;
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) {
            const Vec g = load(dy + row + i, n);
            const Vec d = fill_rest(load(x + row + i, n) - middle, n, Vec::zero());
            total.add(g);
            product.add_product(g, d);
            deviation.add(d);
          });
        });
        sum[c] = total.total();
        products[c] = product.total();
        deviations[c] = deviation.total();
      },
      [&](int64_t c, auto n) {
        const Vec middle = load(center + c, n);
        DoubleSum total, product, deviation;
        for_rows(b, c, [&](int64_t row) {
          const Vec g = load(dy + row, n), d = load(x + row, n) - middle;
          total.add(g);
          product.add_product(g, d);
          deviation.add(d);
        });
        store(total, sum + c, n);
        store(product, products + c, n);
        store(deviation, deviations + c, n);
      });
}

void input_gradient(const float* dy, const float* x, const ChannelBlock& b, const InputGradientTerms& t,
                    float* dx) {
  const auto gradient = [](Vec g, Vec d, Vec scale, Vec slope, Vec constant) {
    return scale * fma(slope, d, g + constant);
  };
  for_channels(
      b,
      [&](int64_t c) {
        const Vec middle = Vec::set(t.center[c]), scale = Vec::set(t.scale[c]), slope = Vec::set(t.slope[c]);
        const Vec constant = Vec::set(t.constant[c]);
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) {
            const Vec g = load(dy + row + i, n), d = load(x + row + i, n) - middle;
            store(gradient(g, d, scale, slope, constant), dx + row + i, n);
          });
        });
      },
      [&](int64_t c, auto n) {
        const Vec middle = load(t.center + c, n), scale = load(t.scale + c, n), slope = load(t.slope + c, n);
        const Vec constant = load(t.constant + c, n);
        for_rows(b, c, [&](int64_t row) {
          const Vec g = load(dy + row, n), d = load(x + row, n) - middle;
          store(gradient(g, d, scale, slope, constant), dx + row, n);
        });
      });
}

}  // namespace

void fill_batch_norm(BatchNormKernels& k) {
  k.moments = moments;
  k.normalize = normalize;
  k.gradient_sums = gradient_sums;
  k.input_gradient = input_gradient;
}

}  // namespace byhand::cpu::BYHAND_ISA
