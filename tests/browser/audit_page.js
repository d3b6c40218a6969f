/* Runs inside a page and returns what is wrong with how it looks: poor contrast, sideways scroll. */
() => {
  const parse = (text) => {
    const numbers = (text.match(/[\d.]+%?/g) || []).map(Number.parseFloat);
    if (text.startsWith("color(srgb")) return [numbers[0] * 255, numbers[1] * 255, numbers[2] * 255, numbers[3] ?? 1];
    return [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
  };
  const over = (top, below) => top.slice(0, 3).map((one, i) => one * top[3] + below[i] * (1 - top[3]));
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((one) => {
      const part = one / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const backgrounds = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage.includes("gradient")) {
        return (style.backgroundImage.match(/(?:rgba?|color)\([^)]*\)/g) || []).map(parse);
      }
      const colour = parse(style.backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return [layers.reverse().reduce((below, top) => [...over(top, below), 1], [255, 255, 255, 1])];
  };
  const problems = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || element.closest(".visually-hidden, [aria-hidden=true]")) continue;
    const style = getComputedStyle(element);
    const size = Number.parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    for (const background of backgrounds(element)) {
      const colour = over(parse(style.color), background);
      const found = ratio(colour, background);
      if (found < (isLarge ? 3 : 4.5)) {
        problems.push(`contrast ${found.toFixed(2)}: <${element.tagName.toLowerCase()} class="${element.className}"> ${element.textContent.trim().slice(0, 40)}`);
      }
    }
  }
  const page = document.scrollingElement;
  if (page.scrollWidth > window.innerWidth + 1) {
    const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > window.innerWidth + 1).slice(0, 3);
    problems.push(`scrolls sideways by ${page.scrollWidth - window.innerWidth} px: ${wide.map((one) => `${one.tagName}.${one.className}`).join(", ")}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
  if (twice.length) problems.push(`ids used twice: ${[...new Set(twice)].join(", ")}`);
  // Names and labels inside the framework's own admin pages are the framework's.
  if (document.getElementById("container")) return [...new Set(problems)];
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!field.labels?.length && !field.getAttribute("aria-label")) problems.push(`no label: ${field.name || field.id}`);
  }
  for (const button of document.querySelectorAll("button, a[href]")) {
    if (button.checkVisibility() && !(button.textContent.trim() || button.getAttribute("aria-label") || button.title)) problems.push(`no name: ${button.outerHTML.slice(0, 80)}`);
  }
  return [...new Set(problems)];
}
