// Updates of flat buffers, in place.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct Sgd {
  float lr, momentum, weight_decay;
  bool nesterov;
};

// g = gradient + weight_decay p,  v = momentum v + g,  p -= lr (nesterov ? g + momentum v : v).
// With momentum 0 the old v is not read; with weight_decay 0 g is the gradient itself, whatever p is.
// Source: Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013), in
// the form that PyTorch gives it.
void sgd_step(const Sgd& sgd, int64_t count, float* parameters, const float* gradients, float* velocity);

// target += x
void accumulate(int64_t count, float* target, const float* x);

}  // namespace byhand::ops
