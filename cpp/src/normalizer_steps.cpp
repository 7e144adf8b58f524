#include "normalizer_steps.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <utility>

#include "code_point_sets.hpp"
#include "normal_forms.hpp"
#include "text_checks.hpp"
#include "vecsmith/charsmap.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

using Step = Normalizer::Step;

std::size_t bytes_before(const char* place, std::string_view text) {
  return static_cast<std::size_t>(place - text.data());
}

// Copies `text` and calls `change(c)` in the place of each member of `set`.
template <typename Change>
void append_changed(CodePointSet set, std::string_view text, std::string& out, Change change) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char* at = find_member(set, p, end);
    out.append(p, at);
    if (at == end) return;
    const char32_t c = decode_utf8(at, end);
    if (contains(set, c)) {
      change(c);
    } else {
      append_utf8(out, c);  // U+FFFD for ill-formed bytes
    }
    p = at;
  }
}

class BertStep : public Step {
 public:
  explicit BertStep(normalizers::Bert settings) : normalizer_(settings) {}
  void append(std::string_view text, std::string& out) const override {
    normalizer_.append(text, out);
  }
  std::size_t kept(std::string_view /*text*/) const override { return 0; }

 private:
  BertNormalizer normalizer_;
};

class NormalFormStep : public Step {
 public:
  explicit NormalFormStep(NormalForm form) : form_(form) {}
  void append(std::string_view text, std::string& out) const override {
    append_normal_form(form_, text, out);
  }
  std::size_t kept(std::string_view text) const override { return normal_prefix(form_, text); }

 private:
  NormalForm form_;
};

class LowercaseStep : public Step {
 public:
  void append(std::string_view text, std::string& out) const override {
    const std::size_t begin = out.size();
    append_changed(CodePointSet::kCased, text, out, [&](char32_t c) {
      for (const char32_t lower : lowercase(c)) append_utf8(out, lower);
    });
    char* const written = out.data() + begin;
    const std::size_t size = out.size() - begin;
    for (std::size_t i = 0; i < size; ++i) {  // without a branch: as many bytes at once as fit
      written[i] = static_cast<char>(written[i] | (is_upper(written[i]) ? 0x20 : 0));
    }
  }

  std::size_t kept(std::string_view text) const override {
    std::size_t n = 0;
    while (n < text.size() && !is_upper(text[n])) ++n;
    const char* const begin = text.data();
    return bytes_before(find_member(CodePointSet::kCased, begin, begin + n), text);
  }

 private:
  static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
};

class StripAccentsStep : public Step {
 public:
  void append(std::string_view text, std::string& out) const override {
    append_changed(CodePointSet::kAccents, text, out, [](char32_t) {});
  }
  std::size_t kept(std::string_view text) const override {
    const char* const begin = text.data();
    return bytes_before(find_member(CodePointSet::kAccents, begin, begin + text.size()), text);
  }
};

class NmtStep : public Step {
 public:
  void append(std::string_view text, std::string& out) const override {
    append_changed(CodePointSet::kNmt, text, out, [&](char32_t c) {
      if (!contains(CodePointSet::kNmtDeleted, c)) out.push_back(' ');
    });
  }
  std::size_t kept(std::string_view text) const override {
    const char* const begin = text.data();
    return bytes_before(find_member(CodePointSet::kNmt, begin, begin + text.size()), text);
  }
};

class StripStep : public Step {
 public:
  explicit StripStep(normalizers::Strip settings) : settings_(settings) {}
  void append(std::string_view text, std::string& out) const override {
    append_well_formed(stripped(text), out);
  }
  std::size_t kept(std::string_view text) const override {
    return stripped(text).size() == text.size() ? text.size() : 0;
  }

 private:
  std::string_view stripped(std::string_view text) const {
    const char* begin = text.data();
    const char* end = begin + text.size();
    while (settings_.left && begin != end) {
      const char* behind = begin;
      if (!has_any(decode_utf8(behind, end), kWhitespace)) break;
      begin = behind;
    }
    while (settings_.right && begin != end) {
      const char* last = end - 1;
      while (last != begin && is_continuation(*last)) --last;
      const char* behind = last;
      if (!has_any(decode_utf8(behind, end), kWhitespace) || behind != end) break;
      end = last;
    }
    return {begin, static_cast<std::size_t>(end - begin)};
  }

  normalizers::Strip settings_;
};

class PrependStep : public Step {
 public:
  explicit PrependStep(std::string_view prefix) {
    if (prefix.empty()) {  // tokenizers fails on some texts with one
      throw std::invalid_argument("the prefix of a step is empty; leave the step out");
    }
    append_well_formed(prefix, prefix_);
  }
  void append(std::string_view text, std::string& out) const override {
    if (text.empty()) return;  // an empty text stays empty
    out += prefix_;
    append_well_formed(text, out);
  }
  std::size_t kept(std::string_view /*text*/) const override { return 0; }

 private:
  std::string prefix_;
};

class ReplaceStep : public Step {
 public:
  explicit ReplaceStep(const normalizers::Replace& settings) : pattern_(settings.pattern) {
    append_well_formed(settings.content, content_);
  }
  void append(std::string_view text, std::string& out) const override {
    std::size_t copied = 0;
    pattern_.find_all(text, [&](std::size_t begin, std::size_t end) {
      out.append(text, copied, begin - copied);
      out += content_;
      copied = end;
    });
    out.append(text, copied);
  }
  std::size_t kept(std::string_view text) const override {
    if (!pattern_.is_regex()) return std::min(text.find(pattern_.text()), text.size());
    bool found = false;  // a match may depend on what is before it, so all or nothing
    pattern_.find_all(text, [&](std::size_t, std::size_t) { found = true; });
    return found ? 0 : text.size();
  }
  bool takes_any_bytes() const override { return false; }

 private:
  Pattern pattern_;
  std::string content_;
};

class PrecompiledStep : public Step {
 public:
  explicit PrecompiledStep(const normalizers::Precompiled& settings)
      : charsmap_(settings.charsmap) {}
  void append(std::string_view text, std::string& out) const override {
    charsmap_.append(text, out);
  }
  std::size_t kept(std::string_view text) const override {
    return charsmap_.is_unchanged(text) ? text.size() : 0;
  }

 private:
  Charsmap charsmap_;
};

// Replacements of single ASCII characters, one after another, as one table: none of them sees what
// an earlier one wrote.
class CharacterStep : public Step {
 public:
  // Joins `settings` if it changes nothing of what the earlier ones wrote.
  bool join(const normalizers::Replace& settings) {
    const std::string& literal = settings.pattern.text();
    if (settings.pattern.is_regex() || literal.size() != 1) return false;
    const auto byte = static_cast<unsigned char>(literal[0]);
    if (byte >= 0x80 || is_written_[byte] || contents_[byte]) return false;
    append_well_formed(settings.content, contents_[byte].emplace());
    for (const char c : *contents_[byte]) is_written_[static_cast<unsigned char>(c)] = true;
    return true;
  }

  void append(std::string_view text, std::string& out) const override {
    std::size_t copied = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::optional<std::string>& content = contents_[static_cast<unsigned char>(text[i])];
      if (!content) continue;
      out.append(text, copied, i - copied);
      out += *content;
      copied = i + 1;
    }
    out.append(text, copied);
  }

  std::size_t kept(std::string_view text) const override {
    std::size_t n = 0;
    while (n < text.size() && !contents_[static_cast<unsigned char>(text[n])]) ++n;
    return n;
  }
  bool takes_any_bytes() const override { return false; }

 private:
  std::array<std::optional<std::string>, 256> contents_;  // for each byte that is replaced
  std::array<bool, 256> is_written_{};                    // bytes of the contents so far
};

struct MakeStep {
  std::shared_ptr<const Step> operator()(const normalizers::Bert& s) const {
    return std::make_shared<BertStep>(s);
  }
  std::shared_ptr<const Step> operator()(const normalizers::Nfc& /*s*/) const {
    return std::make_shared<NormalFormStep>(NormalForm::kNfc);
  }
  std::shared_ptr<const Step> operator()(const normalizers::Nfd& /*s*/) const {
    return std::make_shared<NormalFormStep>(NormalForm::kNfd);
  }
  std::shared_ptr<const Step> operator()(const normalizers::Nfkc& /*s*/) const {
    return std::make_shared<NormalFormStep>(NormalForm::kNfkc);
  }
  std::shared_ptr<const Step> operator()(const normalizers::Nfkd& /*s*/) const {
    return std::make_shared<NormalFormStep>(NormalForm::kNfkd);
  }
  std::shared_ptr<const Step> operator()(const normalizers::Lowercase& /*s*/) const {
    return std::make_shared<LowercaseStep>();
  }
  std::shared_ptr<const Step> operator()(const normalizers::StripAccents& /*s*/) const {
    return std::make_shared<StripAccentsStep>();
  }
  std::shared_ptr<const Step> operator()(const normalizers::Nmt& /*s*/) const {
    return std::make_shared<NmtStep>();
  }
  std::shared_ptr<const Step> operator()(const normalizers::Strip& s) const {
    return std::make_shared<StripStep>(s);
  }
  std::shared_ptr<const Step> operator()(const normalizers::Prepend& s) const {
    return std::make_shared<PrependStep>(s.prefix);
  }
  std::shared_ptr<const Step> operator()(const normalizers::Replace& s) const {
    return std::make_shared<ReplaceStep>(s);
  }
  std::shared_ptr<const Step> operator()(const normalizers::Precompiled& s) const {
    return std::make_shared<PrecompiledStep>(s);
  }
};

}  // namespace

std::vector<std::shared_ptr<const Step>> make_steps(const NormalizerSettings& settings) {
  std::vector<std::shared_ptr<const Step>> steps;
  std::shared_ptr<CharacterStep> characters;  // the last step, if it is one of these
  for (const NormalizerStep& step : settings) {
    if (const auto* const replace = std::get_if<normalizers::Replace>(&step)) {
      if (characters != nullptr && characters->join(*replace)) continue;
      characters = std::make_shared<CharacterStep>();
      if (characters->join(*replace)) {
        steps.push_back(characters);
        continue;
      }
    }
    characters = nullptr;
    steps.push_back(std::visit(MakeStep{}, step));
  }
  return steps;
}

void append_well_formed(std::string_view text, std::string& out) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char* at = find_ill_formed(p, end);
    out.append(p, at);
    if (at != end) append_utf8(out, decode_utf8(at, end));
    p = at;
  }
}

}  // namespace vecsmith
