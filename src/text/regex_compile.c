/* Patterns into instructions, by recursive descent over the pattern. */
#include <string.h>

#include "text/regex_internal.h"
#include "text/unicode.h"

enum { MAX_CODE = 4096, MAX_RANGES = 4096, MAX_DEPTH = 24, MAX_REPEAT = 1000, UNBOUNDED = -1 };

typedef struct compiler {
  pith_ctx *ctx;
  const char *pattern, *what;
  const char *p;               /* what comes next */
  pith_regex *regex;
  uint32_t code_capacity, class_capacity, range_capacity;
  int depth;
  bool ignore_case;
  uint32_t letter_before;      /* the literal before this one, within (?i:…) */
} compiler;

static pith_status refuse(const compiler *c, const char *what_for) {
  return pith_fail(c->ctx, PITH_E_UNSUPPORTED, "%s asks for %s in the pattern \"%.*s\" (byte %u), which Pith does not have", c->what, what_for,
                   PITH_CUT(c->pattern), (unsigned)(c->p - c->pattern));
}

static pith_status malformed(const compiler *c, const char *what) {
  return pith_fail(c->ctx, PITH_E_FORMAT, "%s: the pattern \"%.*s\" %s at byte %u", c->what, PITH_CUT(c->pattern), what, (unsigned)(c->p - c->pattern));
}

static pith_status grow(const compiler *c, void *list, uint32_t n, uint32_t *capacity, uint32_t limit, size_t elem_bytes) {
  if (n < *capacity) return PITH_OK;
  if (n >= limit) return pith_fail(c->ctx, PITH_E_LIMIT, "%s: the pattern \"%.*s\" is too large", c->what, PITH_CUT(c->pattern));
  const uint32_t wanted = *capacity ? 2 * *capacity : 16;
  PITH_TRY(pith_realloc(c->ctx, list, n * elem_bytes, wanted * elem_bytes));
  *capacity = wanted;
  return PITH_OK;
}

static pith_status emit(compiler *c, pith_regex_op op, uint32_t value) {
  PITH_TRY(grow(c, &c->regex->code, c->regex->n, &c->code_capacity, MAX_CODE, sizeof *c->regex->code));
  c->regex->code[c->regex->n++] = (pith_regex_instruction){op, value, 1, 1};
  return PITH_OK;
}

/* Puts an instruction before the block that begins at `at`. Jumps are relative, so the block may move. */
static pith_status insert(compiler *c, uint32_t at, pith_regex_op op) {
  PITH_TRY(emit(c, op, 0));
  pith_regex_instruction *code = c->regex->code;
  const pith_regex_instruction added = code[c->regex->n - 1];
  memmove(code + at + 1, code + at, (c->regex->n - 1 - at) * sizeof *code);
  code[at] = added;
  return PITH_OK;
}

static pith_status copy_block(compiler *c, uint32_t begin, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    PITH_TRY(emit(c, PITH_RE_MATCH, 0));
    c->regex->code[c->regex->n - 1] = c->regex->code[begin + i];
  }
  return PITH_OK;
}

/* ---- sets ---- */

static pith_status begin_class(compiler *c, uint32_t categories) {
  PITH_TRY(grow(c, &c->regex->classes, c->regex->n_classes, &c->class_capacity, MAX_CODE, sizeof *c->regex->classes));
  c->regex->classes[c->regex->n_classes++] = (pith_regex_class){categories, c->regex->n_ranges, c->regex->n_ranges, false};
  return PITH_OK;
}

static pith_status add_range(compiler *c, uint32_t first, uint32_t last) {
  PITH_TRY(grow(c, &c->regex->ranges, c->regex->n_ranges, &c->range_capacity, MAX_RANGES, sizeof *c->regex->ranges));
  c->regex->ranges[c->regex->n_ranges++] = (pith_regex_range){first, last};
  return PITH_OK;
}

/* With ignore_case also the other case of ASCII letters, and the two letters beyond ASCII that fold to one. */
static pith_status add_characters(compiler *c, uint32_t first, uint32_t last) {
  PITH_TRY(add_range(c, first, last));
  if (!c->ignore_case) return PITH_OK;
  if (last >= 0x80) return refuse(c, "(?i:…) with characters beyond ASCII");
  for (uint32_t letter = 'a'; letter <= 'z'; letter++) {
    const bool lower = letter >= first && letter <= last, upper = letter - 32 >= first && letter - 32 <= last;
    if (!lower && !upper) continue;
    PITH_TRY(add_range(c, letter - 32, letter - 32));
    PITH_TRY(add_range(c, letter, letter));
    if (letter == 's') PITH_TRY(add_range(c, 0x17f, 0x17f));     /* long s */
    if (letter == 'k') PITH_TRY(add_range(c, 0x212a, 0x212a));   /* Kelvin */
  }
  return PITH_OK;
}

/* Sorts and joins the ranges of the class that was begun last, so that they can be searched. */
static void end_class(pith_regex *regex) {
  pith_regex_class *class = &regex->classes[regex->n_classes - 1];
  const uint32_t n = regex->n_ranges - class->begin;
  uint32_t kept = 0;
  class->end = class->begin;
  if (n == 0) return;
  pith_regex_range *r = regex->ranges + class->begin;
  for (uint32_t i = 1; i < n; i++) {
    const pith_regex_range range = r[i];
    uint32_t at = i;
    for (; at > 0 && r[at - 1].first > range.first; at--) r[at] = r[at - 1];
    r[at] = range;
  }
  for (uint32_t i = 1; i < n; i++) {
    if (r[i].first > r[kept].last + 1) r[++kept] = r[i];
    else if (r[i].last > r[kept].last) r[kept].last = r[i].last;
  }
  regex->n_ranges = class->end = class->begin + kept + 1;
}

/* "Lu", "L", … as bits, 0 if no category; case does not matter, as in Oniguruma. */
static uint32_t category_bits(const char *name, size_t n) {
  static const struct { char name[3]; uint32_t bits; } known[] = {
      {"l", PITH_LETTER}, {"lu", PITH_LU}, {"ll", PITH_LL}, {"lt", PITH_LT}, {"lm", PITH_LM}, {"lo", PITH_LO},
      {"m", PITH_MARK}, {"mn", PITH_MN}, {"mc", PITH_MC}, {"me", PITH_ME},
      {"n", PITH_NUMBER}, {"nd", PITH_ND}, {"nl", PITH_NL}, {"no", (uint32_t)PITH_NO | PITH_NO_WORD},
      {"p", PITH_PUNCTUATION}, {"pc", PITH_PC}, {"pd", PITH_PD}, {"ps", PITH_PS}, {"pe", PITH_PE}, {"pi", PITH_PI}, {"pf", PITH_PF}, {"po", PITH_PO},
      {"s", PITH_SYMBOL}, {"sm", PITH_SM}, {"sc", PITH_SC}, {"sk", PITH_SK}, {"so", PITH_SO | PITH_SO_WORD},
      {"z", PITH_SEPARATOR}, {"zs", PITH_ZS}, {"zl", PITH_ZL}, {"zp", PITH_ZP},
      {"cc", PITH_CC | PITH_CC_SPACE}, {"cf", PITH_CF}, {"co", PITH_CO}, {"cn", PITH_CN}, {"c", PITH_OTHER | PITH_CN}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    size_t k = 0;
    while (k < n && k < 2 && known[i].name[k] && (name[k] | 32) == known[i].name[k]) k++;
    if (k == n && !known[i].name[k]) return known[i].bits;
  }
  return 0;
}

/* \p{…} and \P{…}, p at the brace. */
static pith_status parse_property(compiler *c, bool negated, uint32_t *categories) {
  const char *end = *c->p == '{' ? strchr(c->p, '}') : NULL;
  if (!end) return malformed(c, "has a \\p without its {…}");
  const char *name = c->p + 1;
  if (*name == '^') {
    negated = !negated;
    name++;
  }
  *categories = category_bits(name, (size_t)(end - name));
  if (*categories == 0) {
    char asked[40] = {0};
    memcpy(asked, "\\p", 2);
    for (size_t i = 0; i < 32 && c->p + i <= end && (uint8_t)c->p[i] < 0x80; i++) asked[2 + i] = c->p[i];
    return refuse(c, asked);
  }
  if (negated) *categories = ~*categories;
  c->p = end + 1;
  return PITH_OK;
}

static pith_status parse_hex(compiler *c, uint32_t *code_point) {
  const bool braces = *c->p == '{';
  uint32_t value = 0;
  int n = 0;
  for (c->p += braces; n < (braces ? 6 : 4); n++, c->p++) {
    const char d = *c->p;
    const int digit = d >= '0' && d <= '9' ? d - '0' : (d | 32) >= 'a' && (d | 32) <= 'f' ? (d | 32) - 'a' + 10 : -1;
    if (digit < 0) break;
    value = 16 * value + (uint32_t)digit;
  }
  if (n == 0 || (braces ? *c->p++ != '}' : n < 4) || value > 0x10ffff) return malformed(c, "has no character");
  *code_point = value;
  return PITH_OK;
}

/* What follows a backslash: a set of categories, or else (0) one character. Oniguruma's \w has ² and ½ among others, but not inside of a set. */
static pith_status parse_escape(compiler *c, bool in_set, uint32_t *categories, uint32_t *code_point) {
  const uint32_t word = PITH_WORD | (in_set ? 0 : PITH_NO_WORD);
  const char e = *c->p;
  *categories = 0;
  *code_point = (uint8_t)e;
  if (!e) return malformed(c, "ends in a backslash");
  if ((uint8_t)e >= 0x80) return refuse(c, "a backslash before a character beyond ASCII");
  c->p++;
  switch (e) {
    case 's': *categories = PITH_SPACE; return PITH_OK;
    case 'S': *categories = ~(uint32_t)PITH_SPACE; return PITH_OK;
    case 'd': *categories = PITH_ND; return PITH_OK;
    case 'D': *categories = ~(uint32_t)PITH_ND; return PITH_OK;
    case 'w': *categories = word; return PITH_OK;
    case 'W': *categories = ~word; return PITH_OK;
    case 'p': return parse_property(c, false, categories);
    case 'P': return parse_property(c, true, categories);
    case 'n': *code_point = '\n'; return PITH_OK;
    case 'r': *code_point = '\r'; return PITH_OK;
    case 't': *code_point = '\t'; return PITH_OK;
    case 'f': *code_point = '\f'; return PITH_OK;
    case 'v': *code_point = '\v'; return PITH_OK;
    case 'u': return parse_hex(c, code_point);
    case 'x':
      if (*c->p == '{') return parse_hex(c, code_point);
      break;
    default:
      if (!((e >= '0' && e <= '9') || (e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z'))) return PITH_OK;
  }
  const char asked[] = {'\\', e, 0};
  return refuse(c, asked);
}

/* One character or one set of categories of a [set]. */
static pith_status parse_set_item(compiler *c, uint32_t *categories, uint32_t *code_point) {
  *categories = 0;
  if (*c->p == '\\') {
    c->p++;
    return parse_escape(c, true, categories, code_point);
  }
  if (c->p[0] == '&' && c->p[1] == '&') return refuse(c, "an intersection of sets (&&)");
  c->p += pith_utf8_decode(c->p, 4, code_point);   /* the closing NUL continues no sequence, so nothing behind it is read */
  return PITH_OK;
}

/* A set that tells cases apart would have to be folded. */
static pith_status check_case(const compiler *c, uint32_t categories) {
  const uint32_t cased = PITH_LU | PITH_LL | PITH_LT, part = categories & cased;
  return c->ignore_case && part && part != cased ? refuse(c, "a property of some letters inside of (?i:…)") : PITH_OK;
}

/* The inside of […], into the class that was begun last; p behind the '['. A set inside is part of it. */
static pith_status parse_set(compiler *c, bool inside) {
  const bool negated = *c->p == '^';
  if (negated && (inside || c->ignore_case)) return refuse(c, inside ? "a negated set inside of a set" : "a negated set inside of (?i:…)");
  c->p += negated;
  if (negated) c->regex->classes[c->regex->n_classes - 1].negated = true;
  for (bool first = true; first || *c->p != ']'; first = false) {
    uint32_t categories, code_point, last, unused;
    if (!*c->p) return malformed(c, "has a set without its end");
    if (*c->p == '[') {
      if (c->p[1] == ':') return refuse(c, "a POSIX bracket [:…:]");
      if (++c->depth > MAX_DEPTH) return refuse(c, "sets that are nested so deep");
      c->p++;
      PITH_TRY(parse_set(c, true));
      c->depth--;
      continue;
    }
    PITH_TRY(parse_set_item(c, &categories, &code_point));
    const bool is_range = c->p[0] == '-' && c->p[1] && c->p[1] != ']';
    if (categories) {
      if (is_range) return malformed(c, "has a range that begins with a set");
      PITH_TRY(check_case(c, categories));
      c->regex->classes[c->regex->n_classes - 1].categories |= categories;
      continue;
    }
    last = code_point;
    if (is_range) {
      c->p++;
      if (*c->p == '[') return malformed(c, "has a range that ends with a set");
      PITH_TRY(parse_set_item(c, &unused, &last));
      if (unused || last < code_point) return malformed(c, "has a range that is none");
      if (c->p[0] == '-' && c->p[1] && c->p[1] != ']') return refuse(c, "a '-' right behind a range");
    }
    PITH_TRY(add_characters(c, code_point, last));
  }
  c->p++;
  return PITH_OK;
}

/* ---- expressions ---- */

static pith_status parse_alternatives(compiler *c, bool *may_be_empty);

static pith_status emit_class(compiler *c) {
  end_class(c->regex);
  return emit(c, PITH_RE_CLASS, c->regex->n_classes - 1);
}

/* Full case folding would match ß for ss and a ligature for the others. */
static bool folds_together(uint32_t a, uint32_t b) {
  a |= 32;
  b |= 32;
  return (a == 's' && (b == 's' || b == 't')) || (a == 'f' && (b == 'f' || b == 'i' || b == 'l'));
}

static pith_status parse_literal(compiler *c, uint32_t code_point) {
  if (c->ignore_case && folds_together(c->letter_before, code_point)) return refuse(c, "letters inside of (?i:…) that fold to one");
  c->letter_before = code_point;
  PITH_TRY(begin_class(c, 0));
  PITH_TRY(add_characters(c, code_point, code_point));
  return emit_class(c);
}

/* (?=x) and its like, p behind their opening: x is one character. */
static pith_status parse_look(compiler *c, pith_regex_op op) {
  bool may_be_empty;
  const uint32_t begin = c->regex->n;
  PITH_TRY(parse_alternatives(c, &may_be_empty));
  if (c->regex->n != begin + 1 || c->regex->code[begin].op != PITH_RE_CLASS) return refuse(c, "look-around at more than one character");
  c->regex->code[begin].op = op;
  return PITH_OK;
}

static pith_status parse_group(compiler *c, bool *may_be_empty, bool *is_look) {
  static const struct { const char *opening; pith_regex_op op; } looks[] = {
      {"?=", PITH_RE_AHEAD}, {"?!", PITH_RE_NOT_AHEAD}, {"?<=", PITH_RE_BEHIND}, {"?<!", PITH_RE_NOT_BEHIND}};
  const bool ignore_case = c->ignore_case;
  pith_status status = PITH_OK;
  *is_look = false;
  if (++c->depth > MAX_DEPTH) return refuse(c, "groups that are nested so deep");
  for (size_t i = 0; i < sizeof looks / sizeof *looks && !*is_look; i++) {
    const size_t n = strlen(looks[i].opening);
    if (strncmp(c->p, looks[i].opening, n) != 0) continue;
    c->p += n;
    *is_look = *may_be_empty = true;
    status = parse_look(c, looks[i].op);
  }
  if (!*is_look) {
    if (strncmp(c->p, "?:", 2) == 0) c->p += 2;
    else if (strncmp(c->p, "?i:", 3) == 0) {
      c->p += 3;
      c->ignore_case = true;
    } else if (*c->p == '?') return refuse(c, "this kind of group");
    status = parse_alternatives(c, may_be_empty);
  }
  PITH_TRY(status);
  if (*c->p++ != ')') return malformed(c, "has a group without its end");
  c->ignore_case = ignore_case;
  c->depth--;
  return PITH_OK;
}

static pith_status parse_atom(compiler *c, bool *may_be_empty, bool *is_look) {
  uint32_t categories = 0, code_point;
  const char here = *c->p;
  *may_be_empty = *is_look = false;
  if (here == '(') {
    c->p++;
    c->letter_before = 0;
    PITH_TRY(parse_group(c, may_be_empty, is_look));
    c->letter_before = 0;
    return PITH_OK;
  }
  if (here == '^' || here == '$') return refuse(c, "an anchor (^ or $)");
  if (here == '*' || here == '+' || here == '?') return malformed(c, "repeats nothing");
  if (here == '[') {
    c->p++;
    PITH_TRY(begin_class(c, 0));
    PITH_TRY(parse_set(c, false));
    return emit_class(c);
  }
  c->p += pith_utf8_decode(c->p, 4, &code_point);
  if (here == '\\') PITH_TRY(parse_escape(c, false, &categories, &code_point));
  if (here != '.' && categories == 0) return parse_literal(c, code_point);
  PITH_TRY(check_case(c, categories));
  PITH_TRY(begin_class(c, categories));
  if (here == '.') {
    PITH_TRY(add_range(c, '\n', '\n'));
    c->regex->classes[c->regex->n_classes - 1].negated = true;
  }
  return emit_class(c);
}

/* *, +, ?, {m}, {m,}, {m,n}, {,n} behind an atom; a brace that says none of these stands for itself. */
static bool parse_repeat(compiler *c, int *least, int *most, bool *counted) {
  const char *p = c->p;
  *counted = *p == '{';
  *least = *p == '+';
  *most = *p == '?' ? 1 : UNBOUNDED;
  if (*p == '*' || *p == '+' || *p == '?') {
    c->p++;
    return true;
  }
  if (*p++ != '{') return false;
  int bound[2] = {-1, -1};
  for (int i = 0; i < 2; i++) {
    for (; *p >= '0' && *p <= '9'; p++) bound[i] = bound[i] < 0 ? *p - '0' : bound[i] > MAX_REPEAT ? bound[i] : 10 * bound[i] + *p - '0';
    if (i == 0 && *p == '}') bound[1] = bound[0];
    if (i == 1 || *p != ',') break;
    p++;
  }
  if (*p != '}' || (bound[0] < 0 && bound[1] < 0)) return false;
  *least = bound[0] < 0 ? 0 : bound[0];
  *most = bound[1];
  c->p = p + 1;
  return true;
}

/* A SPLIT at `at` between the next instruction and the one `over` instructions on; lazy ones prefer the latter. */
static void set_split(compiler *c, uint32_t at, int32_t into, int32_t over, bool lazy) {
  c->regex->code[at].to = lazy ? over : into;
  c->regex->code[at].other = lazy ? into : over;
}

static pith_status repeat_block(compiler *c, uint32_t begin, int least, int most, bool lazy) {
  const uint32_t n = c->regex->n - begin;
  if (most == 0) {
    c->regex->n = begin;
    return PITH_OK;
  }
  for (int i = 1; i < least; i++) PITH_TRY(copy_block(c, begin, n));
  if (most == UNBOUNDED && least > 0) {   /* the last copy again */
    PITH_TRY(emit(c, PITH_RE_SPLIT, 0));
    set_split(c, c->regex->n - 1, -(int32_t)n, 1, lazy);
  } else if (most == UNBOUNDED) {
    PITH_TRY(insert(c, begin, PITH_RE_SPLIT));
    set_split(c, begin, 1, (int32_t)n + 2, lazy);
    PITH_TRY(emit(c, PITH_RE_JUMP, 0));
    c->regex->code[c->regex->n - 1].to = -(int32_t)n - 1;
  } else {   /* each further copy may end all of them */
    const uint32_t optional = (uint32_t)(most - (least > 0 ? least : 1));
    if (least == 0) {
      PITH_TRY(insert(c, begin, PITH_RE_SPLIT));
      set_split(c, begin, 1, (int32_t)(n + 1 + optional * (n + 1)), lazy);
      begin++;
    }
    for (uint32_t i = optional; i > 0; i--) {
      PITH_TRY(emit(c, PITH_RE_SPLIT, 0));
      set_split(c, c->regex->n - 1, 1, (int32_t)(i * (n + 1)), lazy);
      PITH_TRY(copy_block(c, begin, n));
    }
  }
  return PITH_OK;
}

static pith_status parse_repeated(compiler *c, bool *may_be_empty) {
  const uint32_t begin = c->regex->n;
  int least, most;
  bool counted, is_look;
  PITH_TRY(parse_atom(c, may_be_empty, &is_look));
  if (!parse_repeat(c, &least, &most, &counted)) return PITH_OK;
  if (most != UNBOUNDED && most < least) return malformed(c, "repeats less than its least");
  if (least > MAX_REPEAT || most > MAX_REPEAT) return pith_fail(c->ctx, PITH_E_LIMIT, "%s: a pattern repeats more than %d times", c->what, MAX_REPEAT);
  if (*may_be_empty && (is_look || most != 1)) return refuse(c, "the repeat of what may be empty");
  const bool lazy = *c->p == '?';
  if (lazy && counted && least == most) return refuse(c, "{n}?");
  c->p += lazy;
  if (*c->p == '+') return refuse(c, "a possessive repeat");
  int more_least, more_most;
  if (parse_repeat(c, &more_least, &more_most, &counted)) return refuse(c, "the repeat of a repeat");
  c->letter_before = 0;
  *may_be_empty = *may_be_empty || least == 0;
  return repeat_block(c, begin, least, most, lazy);
}

/* Alternatives up to the group's or the pattern's end. The jumps to the end are chained through `to` until it is known. */
static pith_status parse_alternatives(compiler *c, bool *may_be_empty) {
  uint32_t last_jump = 0, begin = c->regex->n;
  bool any = false;
  *may_be_empty = false;
  for (;;) {
    bool all_empty = true;
    c->letter_before = 0;
    while (*c->p && *c->p != '|' && *c->p != ')') {
      bool part_may_be_empty;
      PITH_TRY(parse_repeated(c, &part_may_be_empty));
      all_empty = all_empty && part_may_be_empty;
    }
    *may_be_empty = *may_be_empty || all_empty;
    if (*c->p != '|') break;
    c->p++;
    PITH_TRY(insert(c, begin, PITH_RE_SPLIT));
    PITH_TRY(emit(c, PITH_RE_JUMP, any ? last_jump : UINT32_MAX));
    last_jump = c->regex->n - 1;
    set_split(c, begin, 1, (int32_t)(c->regex->n - begin), false);
    begin = c->regex->n;
    any = true;
  }
  for (uint32_t at = any ? last_jump : UINT32_MAX; at != UINT32_MAX;) {
    pith_regex_instruction *jump = &c->regex->code[at];
    jump->to = (int32_t)(c->regex->n - at);
    at = jump->value;
    jump->value = 0;
  }
  return PITH_OK;
}

pith_status pith_regex_open(pith_ctx *ctx, const char *pattern, const char *what, pith_regex **out) {
  compiler c = {.ctx = ctx, .pattern = pattern, .what = what, .p = pattern};
  bool may_be_empty;
  *out = NULL;
  PITH_TRY(pith_calloc(ctx, 1, sizeof *c.regex, &c.regex));
  pith_status status = parse_alternatives(&c, &may_be_empty);
  if (status == PITH_OK && *c.p) status = malformed(&c, "has a ')' too many");
  if (status == PITH_OK) status = emit(&c, PITH_RE_MATCH, 0);
  if (status != PITH_OK) {
    pith_regex_close(ctx, c.regex);
    return status;
  }
  *out = c.regex;
  return PITH_OK;
}
