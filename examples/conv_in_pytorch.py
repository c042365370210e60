"""byhand's convolution inside PyTorch: a torch.autograd.Function that passes gradcheck."""

import warnings

import torch
from byhand import data, kernels


class Convolution(torch.autograd.Function):
    """kernels.conv2d for tensors. The kernels use the memory of the tensors without a copy."""

    @staticmethod
    def forward(ctx, x, weight, bias, padding):
        x, weight = x.detach(), weight.detach()  # a kernel refuses a tensor that needs a gradient
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return torch.from_numpy(kernels.conv2d(x, weight, bias.detach(), padding=padding))

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        geometry = {"padding": ctx.padding}
        dx, dw, db = None, torch.empty_like(weight), grad.new_empty(len(weight))
        if ctx.needs_input_grad[0]:  # not for images
            dx = torch.empty_like(x)
            kernels.conv2d_backward_input(grad, weight, x.shape, **geometry, out=dx)
        kernels.conv2d_backward_weight(grad, x, weight.shape, **geometry, out=dw)
        kernels.conv2d_backward_bias(grad, out=db)
        return dx, dw, db, None


class Conv2d(torch.nn.Conv2d):
    def forward(self, x):
        return Convolution.apply(x, self.weight, self.bias, self.padding)


# gradcheck compares with (f(x + eps) - f(x - eps)) / (2 eps). A convolution is linear in each of
# its arguments, so this is exact for any eps. With eps = 1/2, only the rounding of f in float32 is
# left. The values of f are below 64, and wrong by less than 1e-5. The warning that is ignored says
# that float32 is not precise enough. This is true for functions that need a small eps.
torch.manual_seed(0)
x, weight, bias = (torch.randn(shape) for shape in ((2, 3, 5, 6), (4, 3, 3, 3), (4,)))
inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
warnings.filterwarnings("ignore", "Input #. requires gradient and is not a double precision")
assert torch.autograd.gradcheck(Convolution.apply, (*inputs, 1), eps=0.5, atol=1e-4, rtol=0)

train, test = data.mnist()
nn = torch.nn
layers = Conv2d(1, 16, 5), nn.MaxPool2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)
network = nn.Sequential(*layers)
optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
for images, labels in data.batches(train, 128):
    loss = nn.functional.cross_entropy(network(torch.from_numpy(images)), torch.tensor(labels))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
with torch.no_grad():
    answers = network(torch.from_numpy(test.images[:, None] / 255).float()).argmax(1).numpy()
print(f"test accuracy {(answers == test.labels).mean():.2%}")
