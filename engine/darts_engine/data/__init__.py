"""Images: one file per source, batched augmentation, and an order that needs no memory."""
