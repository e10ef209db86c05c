#!/bin/sh
# Install torch and transformers: with CUDA, or (ACCELERATOR=none) without it, at a third of the size.
set -eu
cd "$(dirname "$0")"
if [ "$ACCELERATOR" = none ]; then
  # All of nvidia-* but nvidia-cuda-runtime.
  sh install.sh torch.txt 'nvidia-(cu[bfrs]|cudnn|cuda-[cn]|n).*|cuda-.*|triton'
  /opt/venv/bin/python stub_cuda.py
else
  sh install.sh torch.txt
fi
/opt/venv/bin/python -c 'import torch; print("torch", torch.__version__, "works")'
