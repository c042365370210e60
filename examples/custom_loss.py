"""A loss of your own in plain NumPy: the squared hinge loss of support vector machines."""

import byhand
import numpy as np
from byhand import data, models, nn, optim


class SquaredHinge(nn.losses.Loss):
    """max(0, 1 - sign * prediction)^2, summed over the classes; the mean over the images.

    sign is 1 for the label's class and -1 for the others (Tang, arXiv 1306.0239).
    """

    def forward(self, prediction, target):
        self.sign = 2 * np.eye(prediction.shape[1], dtype=np.float32)[target] - 1
        self.margin = np.maximum(0, 1 - self.sign * prediction)
        return np.mean(np.sum(self.margin**2, axis=1))

    def backward(self):
        return -2 * self.sign * self.margin / len(self.margin)


train, test = data.mnist()
model = models.mlp((64,))
optimizer = optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
byhand.Trainer(model, optimizer, loss=SquaredHinge()).fit(train, epochs=1)
print(f"test accuracy {byhand.evaluate(model, test, loss=SquaredHinge()).accuracy:.2%}")
