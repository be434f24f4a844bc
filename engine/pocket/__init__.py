"""How the embedded model was made: drawn scenes, training, weights. Nothing at run time imports it."""
