"""Pictures: a result in, a picture and the numbers drawn out; nothing here fits."""
