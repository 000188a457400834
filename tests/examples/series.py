import torch
from torch import nn

torch.manual_seed(0)


class Classifier(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.convolve = nn.Conv1d(channels, 16, kernel_size=3, padding=1)
        self.score = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, classes))

    def forward(self, x):
        batch, steps, channels = x.shape
        x = x.view(batch, channels, steps)
        x = self.convolve(x).transpose(1, 2)
        x = x.reshape(steps, batch, 16)
        x = self.score(x)
        return x.view(batch, steps, -1).mean(1)


x = torch.randn(64, 31, 6)
y = (x[:, :, 0].mean(1) > 0).long()
model = Classifier(6, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(20):
    for start in range(0, len(x), 16):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[start : start + 16]), y[start : start + 16])
        loss.backward()
        optimizer.step()
