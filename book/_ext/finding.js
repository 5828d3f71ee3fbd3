/* Sphinx lists a section only if its title contains the whole query, and otherwise pages, from their tops.  This search
   puts the sections first whose titles, or whose questions (the page "Find your question"), share the most words with
   the query, in any order; rare words count more.  The best entry of the glossary stands among them.  What Sphinx finds
   follows, names of the module last. */

if (typeof Search !== "undefined") {
  const SHOWN = 8;
  const ENOUGH = 0.5; // of the query's weight
  const SAME = {
    "β": "beta", "σ": "sigma", "ε": "epsilon", "μ": "mu", grey: "gray", greys: "grays", colour: "color", colours: "colors",
    blurred: "blurry", blur: "blurry", blurriness: "blurry", fuzzy: "blurry", smeared: "blurry", unsharp: "blurry",
    binarisation: "binarization", binarised: "binarized", visualise: "visualize", optimise: "optimize",
    val: "validation", vanishes: "vanishing", bits: "bit", nats: "nat", negatives: "negative", interpolation: "interpolate",
  };
  const ASKING = new Set(
    ("a an and are as at be but by can could do does did for from get give has have how i if in into is it its me my " +
      "of on one or should so some than that the their them there these they this to too up want was we what " +
      "when where which while who why will with would you your").split(" ")
  );
  const TELLING = 1;
  const LITTLE = 0.2; // what an asking word counts

  let candidates = null; // {file, id, words, count, bonus}: titles, questions and terms
  let rarity = null; // of a word among them
  let titles = null; // of a place

  const wordsOf = (text) => {
    const stemmer = new Stemmer();
    const found = new Map();
    for (const word of splitQuery(text.toLowerCase().replace(/^\d+(\.\d+)*\.\s/, "").replace(/_/g, " ")))
      found.set(stemmer.stemWord(SAME[word] || word), ASKING.has(word) ? LITTLE : TELLING);
    return found;
  };

  const add = (file, id, text, bonus) => {
    const words = wordsOf(text);
    const count = [...words.values()].reduce((sum, weight) => sum + weight, 0);
    candidates.push({ file, id: id || "", words, count, bonus });
  };

  /* The index has its entries in lower case; the anchor of a term remembers. */
  const spelled = (entry, id) =>
    [...entry].map((letter, i) => (id[i + 5] && id[i + 5].toLowerCase() === letter ? id[i + 5] : letter)).join("");

  const prepare = (index) => {
    candidates = [];
    titles = new Map();
    for (const [title, places] of Object.entries(index.alltitles))
      for (const [file, id] of places) {
        titles.set(`${file}#${id || ""}`, title);
        add(file, id, title, 0);
      }
    for (const [entry, places] of Object.entries(index.indexentries))
      for (const [file, id, isMain] of places)
        if (isMain) {
          const isTerm = (id || "").startsWith("term-");
          if (isTerm) titles.set(`${file}#${id}`, spelled(entry, id));
          add(file, id, entry, isTerm ? 0 : 5);
        }
    const counts = new Map();
    for (const { words } of candidates) words.forEach((_, word) => counts.set(word, (counts.get(word) || 0) + 1));
    rarity = new Map([...counts].map(([word, count]) => [word, Math.log(1 + candidates.length / count)]));
  };

  const likeness = (word, words) => {
    if (words.has(word)) return 1;
    if (word.length >= 4) for (const other of words.keys()) if (other.startsWith(word)) return 0.7;
    return 0;
  };

  const weightOf = (word) => {
    const longer = word.length < 4 ? [] : [...rarity.keys()].filter((other) => other.startsWith(word));
    return Math.max(rarity.get(word) || 0, ...longer.map((other) => rarity.get(other)));
  };

  const findSections = (index, query) => {
    if (!candidates) prepare(index);
    const asked = [...wordsOf(query)].map(([word, telling]) => [word, telling, telling * weightOf(word)]);
    const total = asked.reduce((sum, [, , weight]) => sum + weight, 0);
    const best = new Map();
    for (const candidate of candidates) {
      let weight = 0;
      let count = 0;
      for (const [word, telling, its] of asked) {
        const like = likeness(word, candidate.words);
        weight += like * its;
        count += like * telling;
      }
      if (!total || weight < ENOUGH * total) continue;
      const score = 100 * (weight / total) + 20 * (count / candidate.count) + candidate.bonus;
      const place = `${candidate.file}#${candidate.id}`;
      if (!best.has(place) || best.get(place).score < score) best.set(place, { ...candidate, score });
    }
    const sorted = [...best.values()].sort((a, b) => b.score - a.score);
    const term = sorted.find(({ id }) => id.startsWith("term-"));
    return sorted.filter((item) => item === term || !item.id.startsWith("term-")).slice(0, SHOWN);
  };

  /* Excerpts are text: formulas lose their commands. */
  const SIGNS = { mid: "|", sim: "∼", mu: "μ", sigma: "σ", varepsilon: "ε", beta: "β", log: "log", ln: "ln", exp: "exp", le: "≤" };
  const plain = (formula) => formula.replace(/\\([a-zA-Z]+)/g, (_, name) => SIGNS[name] || "").replace(/[\\{}$]/g, "");
  const textOf = Search.htmlToText;
  Search.htmlToText = (...html) => textOf(...html).replace(/\\[([]([^]*?)\\[)\]]/g, (_, formula) => plain(formula));

  const pagesAndNames = Search._performSearch;
  Search._performSearch = (query, ...terms) => {
    const index = Search._index;
    const others = pagesAndNames(query, ...terms).reverse(); // the best first
    const sections = findSections(index, query).map(({ file, id, score }) => {
      const title = id && titles.get(`${file}#${id}`);
      const shown = title ? `${index.titles[file]} > ${title}` : index.titles[file];
      return [index.docnames[file], shown, id ? `#${id}` : "", null, Math.round(score), index.filenames[file]];
    });
    const found = new Set(sections.map((item) => item[0] + item[2]));
    const names = others.filter((item) => item[3]);
    const pages = others.filter((item) => !item[3] && !item[2].startsWith("#term-") && !found.has(item[0] + item[2]));
    const isName = (item) => item[1].split(".").pop().toLowerCase() === query.trim().toLowerCase();
    const exact = names.filter(isName).slice(0, 3);
    const rest = names.filter((item) => !exact.includes(item));
    const isCode = /[._()=]/.test(query.trim());
    const all = isCode ? [...exact, ...rest, ...sections, ...pages] : [...sections, ...exact, ...pages, ...rest];
    return all.reverse(); // Sphinx shows the last first
  };
}
