# SPDX-License-Identifier: Apache-2.0
"""PDFed: train image diffusion models together, without a server and without showing anyone your images.

Importing the package stays light: torch, diffusers, faiss and Ape are imported at first use.
"""

__version__ = "0.1.0"
