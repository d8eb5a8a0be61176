// Pictures and their pixels, for the scripts that this one is put before.
const load = (source) => new Promise((done, failed) => {
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = failed;
  image.src = source;
});

function pixels(image) {
  const drawn = document.createElement("canvas");
  drawn.width = image.naturalWidth;
  drawn.height = image.naturalHeight;
  const context = drawn.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, drawn.width, drawn.height);
}
