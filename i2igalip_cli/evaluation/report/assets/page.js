"use strict";

// Tables sort by the column whose head is pressed: numbers as numbers, empty cells last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.querySelectorAll("th")];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [sortKey(row.cells[column]), row]);
    rows.sort(([a], [b]) => compareKeys(a, b, down ? -1 : 1));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}

function sortKey(cell) {
  if (cell.dataset.value === undefined) return cell.textContent.trim();
  if (cell.dataset.value === "") return null;
  return Number(cell.dataset.value.replace("inf", "Infinity"));
}

function compareKeys(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
}

// The viewer: a NiiVue a volume, all with one crosshair.
if (document.getElementById("volumes")) showViewer().catch((fault) => {
  const absent = document.getElementById("viewer-absent");
  document.getElementById("viewer").hidden = true;
  absent.hidden = false;
  absent.textContent = "The viewer can't run in this browser (" + fault.message + ").";
});

async function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function loadNiivue() {
  if (!document.createElement("canvas").getContext("webgl2")) throw new Error("no WebGL 2");
  const script = document.createElement("script");
  script.textContent = await inflate(document.getElementById("niivue").textContent);
  document.head.append(script);
  return globalThis.niivue;
}

async function showViewer() {
  const { cases, signed } = JSON.parse(document.getElementById("volumes").textContent);
  const library = await loadNiivue();
  const choice = document.getElementById("viewer-case");
  const plane = document.getElementById("viewer-plane");
  const place = document.getElementById("viewer-place");
  document.getElementById("viewer-absent").hidden = true;
  document.getElementById("viewer").hidden = false;
  const most = Math.max(...cases.map((one) => one.panels.length));
  const views = [];
  for (let n = 0; n < most; n += 1) views.push(await makeView(library, n, signed));
  for (const view of views) {
    view.nv.onLocationChange = (where) => { place.textContent = describe(views, where); };
  }
  const setPlane = () => {
    for (const { nv } of views) {
      const kinds = { axial: nv.sliceTypeAxial, coronal: nv.sliceTypeCoronal, sagittal: nv.sliceTypeSagittal, three: nv.sliceTypeMultiplanar };
      nv.setSliceType(kinds[plane.value]);
    }
  };
  const toMiddle = () => {
    for (const { nv } of views) { nv.scene.crosshairPos = [0.5, 0.5, 0.5]; nv.drawScene(); }
    place.textContent = "";
  };
  const show = async () => {
    const { panels } = cases[Number(choice.value)];
    for (const [n, view] of views.entries()) await fill(library, view, panels[n]);
    const filled = views.slice(0, panels.length).map(({ nv }) => nv); // an empty one fails to follow
    for (const { nv } of views) nv.broadcastTo(filled.filter((other) => other !== nv), { "2d": true, "3d": true });
    setPlane();
    toMiddle();
    document.getElementById("viewer").dataset.shown = choice.value;
  };
  plane.addEventListener("change", setPlane);
  choice.addEventListener("change", show);
  document.getElementById("viewer-reset").addEventListener("click", toMiddle);
  await show();
}

async function makeView(library, number, signed) {
  const figure = document.createElement("figure");
  const title = document.createElement("figcaption");
  const canvas = document.createElement("canvas");
  canvas.id = "viewer-canvas-" + number;
  canvas.tabIndex = 0;
  const frame = document.createElement("div"); // NiiVue blackens what holds its canvas
  frame.append(canvas);
  figure.append(title, frame);
  document.getElementById("viewer-panels").append(figure);
  const nv = new library.Niivue({
    backColor: [0, 0, 0, 1],
    fontColor: [0.95, 0.75, 0.2, 1],
    crosshairColor: [0.95, 0.75, 0.2, 0.8],
    crosshairWidth: 0.8,
    crosshairWidthUnit: "percent", // of the picture: voxels may be large
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    isOrientCube: false,
    multiplanarLayout: 2,
    multiplanarShowRender: 0,
    dragAndDropEnabled: false,
    viewModeHotKey: "", // one canvas would show another plane than the others
    clipPlaneHotKey: "",
    logLevel: "error",
  });
  await nv.attachToCanvas(canvas);
  nv.addColormap("signed", toColormap(signed));
  const view = { nv, title, canvas, figure };
  canvas.addEventListener("keydown", (event) => moveCrosshair(view, event));
  return view;
}

// Colours "#rrggbb", evenly spaced, as NiiVue takes them.
function toColormap(colours) {
  const part = (from) => colours.map((colour) => parseInt(colour.slice(from, from + 2), 16));
  const places = colours.map((_, n) => Math.round((255 * n) / (colours.length - 1)));
  return { R: part(1), G: part(3), B: part(5), A: colours.map(() => 255), I: places };
}

async function fill(library, view, panel) {
  view.figure.hidden = panel === undefined;
  while (view.nv.volumes.length) view.nv.removeVolumeByIndex(0);
  if (panel === undefined) return;
  const image = await library.NVImage.loadFromBase64({ base64: panel.nifti, name: "volume.nii.gz" });
  image.colormap = panel.colours;
  view.nv.addVolume(image);
  image.cal_min = panel.low; // adding it finds a range of its own
  image.cal_max = panel.high;
  view.nv.updateGLVolume();
  view.panel = panel;
  view.title.textContent = panel.title;
  view.canvas.setAttribute("role", "application");
  view.canvas.setAttribute("aria-label", panel.title + ": arrow keys, Page Up and Page Down move the crosshair");
}

// Arrows move on the screen, the page keys through the slices: which of a plane's axes, and where to.
const AXES = { axial: [0, 1, 2], coronal: [0, 2, 1], sagittal: [1, 2, 0], three: [0, 1, 2] };
const STEPS = {
  ArrowLeft: [0, 1], ArrowRight: [0, -1],
  ArrowUp: [1, 1], ArrowDown: [1, -1],
  PageUp: [2, 1], PageDown: [2, -1],
};

function moveCrosshair({ nv }, event) {
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const move = [0, 0, 0]; // to the patient's right, to the front, upwards
  move[AXES[document.getElementById("viewer-plane").value][step[0]]] = step[1];
  nv.moveCrosshairInVox(...move);
}

function describe(views, where) {
  const millimetres = [...where.mm].slice(0, 3).map((value) => value.toFixed(0)).join(", ");
  const values = views.filter(({ nv }) => nv.volumes.length).map(({ nv, panel }) => {
    const image = nv.volumes[0];
    const [i, j, k] = image.mm2vox([...where.mm].slice(0, 3));
    return panel.title + " " + read(image.getValue(i, j, k), panel);
  });
  return "(" + millimetres + ") mm right, anterior, superior: " + values.join("; ");
}

// The page holds intensities from low to high only: what lies beyond was stored as the end.
function read(value, { low, high }) {
  const near = (high - low) / 1000;
  const beyond = value > high - near ? "≥ " : low < 0 && value < low + near ? "≤ " : "";
  return beyond + Number(value).toPrecision(3);
}
