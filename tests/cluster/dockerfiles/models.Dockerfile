# Models as an image, for spec.modelVolume.image: the context is the folder that holds them.
FROM scratch
COPY shapes-flat /shapes-flat
