"""A layer of your own in plain NumPy: parametric ReLU, which learns a slope for each feature."""

import byhand
import numpy as np
from byhand import data, nn, optim


class PReLU(nn.Module):
    """y = x where x > 0, otherwise slope * x (He et al., arXiv 1502.01852)."""

    def __init__(self, features, start=0.25):
        self.features, self.start = features, start  # a model file stores these
        self.slope = nn.Parameter(np.full(features, start, np.float32))

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.slope.data * x)

    def backward(self, grad_output):
        negative = self.x <= 0
        self.slope.grad += (grad_output * self.x * negative).sum(axis=0)
        return grad_output * np.where(negative, self.slope.data, 1)


train, test = data.mnist()
model = byhand.Model(
    nn.Flatten(),
    nn.Linear(784, 64, rng=0),
    PReLU(64),
    nn.Linear(64, 10, rng=1),
)
optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
byhand.Trainer(model, optimizer).fit(train, epochs=1)
print(f"test accuracy {byhand.evaluate(model, test).accuracy:.2%}")

model.save("prelu.safetensors")
again = byhand.load("prelu.safetensors", layers=[PReLU])
assert np.array_equal(again.predict(test.images), model.predict(test.images))
