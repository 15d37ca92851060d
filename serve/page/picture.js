// picture.js: an image comes by the file dialog, by drop or by paste; it is shown, and handed on as a File.
import { byId } from "./say.js";

/** Call `take(file)` for each image that comes, `refuse(text)` for what is dropped or pasted and is no file. */
export function watchPictures(take, refuse) {
  const input = byId("file");
  const drop = byId("drop");
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
  // the whole page takes drops: one that misses the frame must not navigate away
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) take(file);
    else refuse("That was no file: save the image, then drop the file.");
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file) take(file);
    else if (event.target.id !== "key") refuse("The clipboard holds no image: copy one, then paste again.");
  });
}

/** Show `file`, or nothing if the browser cannot draw it. */
export function showPicture(file) {
  const picture = byId("picture");
  URL.revokeObjectURL(picture.src);
  picture.onerror = () => (picture.hidden = true);
  picture.onload = () => (picture.hidden = false);
  picture.alt = file.name;
  picture.src = URL.createObjectURL(file);
}
