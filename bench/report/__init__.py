"""The page of `byhand bench report`."""
