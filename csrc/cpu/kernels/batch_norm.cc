// Batch normalisation: moments of channels, and what is linear in x and dy.
#include "cpu/kernels/fill.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// plane(c) for each channel where its values in a row lie side by side, columns(c, n) for vectors of channels
// where they don't.
template <class Plane, class Columns>
inline void for_channels(const ChannelBlock& b, Plane plane, Columns columns) {
  if (b.length == 1) return for_vectors(b.channels, columns);
  for (int64_t c = 0; c < b.channels; ++c) plane(c);
}

// f(i) for the offsets of rows.
template <class F>
inline void for_rows(const ChannelBlock& b, int64_t first, F f) {
  for (int64_t r = 0; r < b.rows; ++r) f(first + r * b.row_stride);
}

void moments(const float* x, const ChannelBlock& b, float* center, float* sum, float* squares) {
  const double share = 1 / static_cast<double>(b.rows * b.length);
  for_channels(
      b,
      [&](int64_t c) {
        DoubleSum total, deviation, square;
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) { total.add(load(x + row + i, n)); });
        });
        center[c] = static_cast<float>(total.total() * share);
        const Vec middle = Vec::set(center[c]);
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) {
            const Vec d = fill_rest(load(x + row + i, n) - middle, n, Vec::zero());
            deviation.add(d);
            square.add(d * d);
          });
        });
        sum[c] = static_cast<float>(deviation.total());
        squares[c] = static_cast<float>(square.total());
      },
      [&](int64_t c, auto n) {
        Vec total = Vec::zero(), deviation = Vec::zero(), square = Vec::zero();
        for_rows(b, c, [&](int64_t row) { total = total + load(x + row, n); });
        const Vec middle = total * Vec::set(static_cast<float>(share));
        for_rows(b, c, [&](int64_t row) {
          const Vec d = load(x + row, n) - middle;
          deviation = deviation + d;
          square = fma(d, d, square);
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

void gradient_sums(const float* dy, const float* x, const ChannelBlock& b, const float* center, float* sum,
                   float* products) {
  for_channels(
      b,
      [&](int64_t c) {
        const Vec middle = Vec::set(center[c]);
        DoubleSum total, product;
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) {
            const Vec g = load(dy + row + i, n);
            total.add(g);
            product.add(fill_rest(g * (load(x + row + i, n) - middle), n, Vec::zero()));
          });
        });
        sum[c] = static_cast<float>(total.total());
        products[c] = static_cast<float>(product.total());
      },
      [&](int64_t c, auto n) {
        const Vec middle = load(center + c, n);
        Vec total = Vec::zero(), product = Vec::zero();
        for_rows(b, c, [&](int64_t row) {
          const Vec g = load(dy + row, n);
          total = total + g;
          product = fma(g, load(x + row, n) - middle, product);
        });
        store(total, sum + c, n);
        store(product, products + c, n);
      });
}

void input_gradient(const float* dy, const float* x, const ChannelBlock& b, const InputGradientTerms& t,
                    float* dx) {
  for_channels(
      b,
      [&](int64_t c) {
        const Vec middle = Vec::set(t.center[c]), of_dy = Vec::set(t.of_dy[c]), of_x = Vec::set(t.of_x[c]);
        const Vec constant = Vec::set(t.constant[c]);
        for_rows(b, c * b.length, [&](int64_t row) {
          for_vectors(b.length, [&](int64_t i, auto n) {
            const Vec d = load(x + row + i, n) - middle;
            store(fma(of_dy, load(dy + row + i, n), fma(of_x, d, constant)), dx + row + i, n);
          });
        });
      },
      [&](int64_t c, auto n) {
        const Vec middle = load(t.center + c, n), of_dy = load(t.of_dy + c, n), of_x = load(t.of_x + c, n);
        const Vec constant = load(t.constant + c, n);
        for_rows(b, c, [&](int64_t row) {
          const Vec d = load(x + row, n) - middle;
          store(fma(of_dy, load(dy + row, n), fma(of_x, d, constant)), dx + row, n);
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
