// A device: memory for arrays, and the operators that compute on them.
//
// A binding calls operators through the table of the device that holds its arrays. The CPU's table is
// cpu_device(). The table of NVIDIA GPUs is in the module byhand._cuda, a shared library of its own that is
// loaded on demand. So csrc/bindings does not depend on CUDA.
//
// On a GPU, the functions return before the work is done, and the work is done in the order of the calls.
// Two things follow for the operators:
// - A scalar result is written to memory of the device.
// - Bad labels and indices cannot throw an exception. The results of their rows are NaN, unless the contract
//   of the operator says otherwise, and the next call of to_host or synchronize throws instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>

#include "ops/activation.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "ops/conv2d_pool_act.h"
#include "ops/count_correct.h"
#include "ops/dropout.h"
#include "ops/gather.h"
#include "ops/gemm.h"
#include "ops/linear.h"
#include "ops/optimizer.h"
#include "ops/pool2d.h"
#include "ops/softmax_cross_entropy.h"
#include "ops/squared_error.h"
#include "ops/warp_images.h"

// Calls X(name) for each operator of csrc/ops.
#define BYHAND_OPERATORS(X)         \
  X(gemm)                           \
  X(linear)                         \
  X(linear_backward_input)          \
  X(linear_backward_weight)         \
  X(linear_backward_bias)           \
  X(linear_act_backward)            \
  X(conv2d)                         \
  X(conv2d_backward_input)          \
  X(conv2d_backward_weight)         \
  X(conv2d_backward_bias)           \
  X(conv2d_pool_act)                \
  X(conv2d_pool_act_backward)       \
  X(max_pool2d)                     \
  X(max_pool2d_backward)            \
  X(avg_pool2d)                     \
  X(avg_pool2d_backward)            \
  X(relu)                           \
  X(relu_backward)                  \
  X(tanh)                           \
  X(tanh_backward)                  \
  X(sigmoid)                        \
  X(sigmoid_backward)               \
  X(add)                            \
  X(softmax)                        \
  X(log_softmax)                    \
  X(softmax_cross_entropies)        \
  X(softmax_cross_entropy)          \
  X(softmax_cross_entropy_backward) \
  X(squared_errors)                 \
  X(squared_error)                  \
  X(squared_error_backward)         \
  X(count_correct)                  \
  X(batch_norm_training)            \
  X(batch_norm_inference)           \
  X(batch_norm_backward)            \
  X(dropout)                        \
  X(gather_images)                  \
  X(warp_images)                    \
  X(sgd_step)                       \
  X(adam_step)

namespace byhand {

// The device has too little free memory. what() says how much was asked for and how much is free.
class [[gnu::visibility("default")]] OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

// The device cannot be used: there is none, its driver reports an error, or it is lost.
class [[gnu::visibility("default")]] DeviceError : public std::runtime_error {
  using runtime_error::runtime_error;
};

// The device has no function for an operator.
class [[gnu::visibility("default")]] MissingOperator : public std::logic_error {
  using logic_error::logic_error;
};

// Stands for a function of any type. The function throws MissingOperator.
struct Missing {
  template <class Result, class... Arguments>
  using Function = Result (*)(Arguments...);

  template <class Result, class... Arguments>
  constexpr operator Function<Result, Arguments...>() const {
    return [](Arguments...) -> Result {
      throw MissingOperator(
          "the device of the arrays cannot compute this; array.to(\"cpu\") copies an array");
    };
  }
};

// The size of all arguments of a type of functions. A reference has the size of the object that it refers to.
template <class Function>
inline constexpr size_t kArgumentBytes = 0;
template <class Result, class... Arguments>
inline constexpr size_t kArgumentBytes<Result(Arguments...)> = (sizeof(Arguments) + ... + 0);

// Returns a number that depends on the names of all operators, their types and the sizes of their arguments.
inline uint64_t hash_of_operators() {
  uint64_t hash = 0;
  const auto add = [&hash](uint64_t value) { hash = (hash ^ value) * 1099511628211u; };  // FNV-1a
  const auto add_text = [&add](const char* text) {
    for (; *text != 0; ++text) add(static_cast<unsigned char>(*text));
  };
#define X(op) add_text(#op), add_text(typeid(ops::op).name()), add(kArgumentBytes<decltype(ops::op)>);
  BYHAND_OPERATORS(X)
#undef X
  return hash;
}

struct Device {
  // A module that was built for other operators has another number here.
  uint64_t hash = hash_of_operators();

  const char* name;  // as users write it: "cpu" or "cuda"
  bool is_gpu;       // false for the CPU and for an emulated GPU, whose memory the CPU can read

  // Memory. All functions but release may throw. `bytes` may be 0.
  void* (*allocate)(size_t bytes);
  void (*release)(void* memory) noexcept;
  size_t (*release_cached)();  // frees memory that is kept for later calls, and returns the number of bytes
  // Copy to the device from the host, to the host from the device, and inside the device. The first two
  // return when the copy is done.
  void (*from_host)(void* to, const void* from, size_t bytes);
  void (*to_host)(void* to, const void* from, size_t bytes);
  void (*copy)(void* to, const void* from, size_t bytes);
  void (*fill)(float* to, int64_t count, float value);
  // Both wait until all work is done. Only `synchronize` throws if labels or indices were bad.
  void (*wait)();
  void (*synchronize)();

#define X(name) decltype(ops::name)* name = Missing{};
  BYHAND_OPERATORS(X)
#undef X
};

const Device& cpu_device();

}  // namespace byhand
