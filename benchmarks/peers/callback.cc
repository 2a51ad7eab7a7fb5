// A peer of the data plane: the same work in gRPC C++'s callback API, as small as it can be. Normalise, two HMACs, two
// look-ups in a hash table, the API key; no lease, no quota, no log, no metrics, and identifiers in ASCII only: what
// is left out makes it faster, never slower. Answers Check and BatchCheck of nser.lookup.v1.
//
//   callback --people N --seed S --keys FILE --index FILE                           write the index, and end
//   callback --people N --index FILE --keys FILE --authorization FILE --port PORT   serve
//
// The index has a row of 32 bytes for each person: the blind index of the phone, then of the national ID. One person
// in twenty is excluded. The other peers read the same file.

#include <grpcpp/grpcpp.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "nser/lookup/v1/lookup.grpc.pb.h"

namespace {

namespace lookup = nser::lookup::v1;
namespace type = nser::type::v1;

using Blind = std::array<unsigned char, 16>;
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kRowBytes = 32;
constexpr std::size_t kLongestInput = 64;
constexpr std::uint64_t kExcludedEvery = 20;
constexpr char kRevision[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";  // as long as a real one

// HMAC-SHA-256 with both key blocks hashed once.
class Hmac {
 public:
  explicit Hmac(const std::string& key) {
    Begin(&inner_, key, 0x36);
    Begin(&outer_, key, 0x5c);
  }

  Blind Of(std::string_view prefix, std::string_view text) const {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX inner = inner_, outer = outer_;
    SHA256_Update(&inner, prefix.data(), prefix.size());
    SHA256_Update(&inner, text.data(), text.size());
    SHA256_Final(digest, &inner);
    SHA256_Update(&outer, digest, sizeof digest);
    SHA256_Final(digest, &outer);
    Blind blind;
    std::memcpy(blind.data(), digest, blind.size());
    return blind;
  }

 private:
  static void Begin(SHA256_CTX* context, const std::string& key, unsigned char pad) {
    unsigned char block[SHA256_CBLOCK];
    std::memset(block, pad, sizeof block);
    for (std::size_t at = 0; at < key.size(); ++at) block[at] ^= static_cast<unsigned char>(key[at]);
    SHA256_Init(context);
    SHA256_Update(context, block, sizeof block);
  }

  SHA256_CTX inner_, outer_;
};

struct BlindKeys {
  Hmac phone, document;

  explicit BlindKeys(const std::string& keys)
      : phone(keys.substr(0, kKeyBytes)), document(keys.substr(kKeyBytes, kKeyBytes)) {}

  Blind Phone(std::string_view e164) const { return phone.Of({"nser/phone/1\0", 13}, e164); }
  Blind NationalId(std::string_view number) const {
    return document.Of({"nser/document/1\0national_id\0", 28}, number);
  }
};

bool IsSeparator(char c, std::string_view separators) {
  return c == ' ' || (c >= '\t' && c <= '\r') || separators.find(c) != std::string_view::npos;
}

std::optional<std::string> Clean(const std::string& text, std::string_view separators) {
  if (text.size() > kLongestInput) return std::nullopt;
  std::string cleaned;
  for (char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return std::nullopt;
    if (!IsSeparator(c, separators)) cleaned.push_back(c);
  }
  return cleaned;
}

bool AllDigits(std::string_view text) {
  for (char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

// A Kenyan mobile number in any usual form, as +254 and nine digits.
std::optional<std::string> NormalPhone(const std::string& text) {
  auto cleaned = Clean(text, "-.()/");
  if (!cleaned) return std::nullopt;
  std::string_view rest = *cleaned;
  auto drop = [&rest](std::string_view prefix) {
    bool found = rest.substr(0, prefix.size()) == prefix;
    if (found) rest.remove_prefix(prefix.size());
    return found;
  };
  bool international = drop("+254") || drop("00254") || (rest.size() > 10 && drop("254"));
  if (!drop("0") && !international && rest.size() != 9) return std::nullopt;
  if (rest.size() != 9 || (rest[0] != '7' && rest[0] != '1') || !AllDigits(rest)) return std::nullopt;
  return "+254" + std::string(rest);
}

// A national ID of 6 to 9 digits, without leading zeros.
std::optional<std::string> NormalNationalId(const std::string& text) {
  auto cleaned = Clean(text, "-");
  if (!cleaned || cleaned->size() < 6 || cleaned->size() > 9 || !AllDigits(*cleaned)) return std::nullopt;
  auto first = cleaned->find_first_not_of('0');
  if (first == std::string::npos) return std::nullopt;
  return cleaned->substr(first);
}

// Open addressing over keys that are random already. Written once, before anybody reads.
class Table {
 public:
  explicit Table(std::uint64_t keys) {
    std::uint64_t size = 16;
    while (size < keys * 2) size *= 2;
    slots_.resize(size);
  }

  void Put(const Blind& key, bool excluded) {
    std::uint64_t at = First(key);
    while (slots_[at].state != kFree) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {key, excluded ? kExcluded : kKnown};
  }

  bool Excluded(const Blind& key) const {
    for (std::uint64_t at = First(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].state == kFree) return false;
      if (slots_[at].key == key) return slots_[at].state == kExcluded;
    }
  }

 private:
  enum State : unsigned char { kFree, kKnown, kExcluded };
  struct Slot {
    Blind key{};
    State state = kFree;
  };

  std::uint64_t First(const Blind& key) const {
    std::uint64_t hash;
    std::memcpy(&hash, key.data(), sizeof hash);
    return hash & (slots_.size() - 1);
  }

  std::vector<Slot> slots_;
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Digest(std::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

Table ReadIndex(const std::string& path, std::uint64_t people) {
  std::ifstream file(path, std::ios::binary);
  Table table(people * 2);
  Blind phone, document;
  for (std::uint64_t number = 0; number < people; ++number) {
    file.read(reinterpret_cast<char*>(phone.data()), phone.size());
    file.read(reinterpret_cast<char*>(document.data()), document.size());
    if (!file) throw std::runtime_error(path + " has fewer people");
    table.Put(phone, number % kExcludedEvery == 0);
    table.Put(document, number % kExcludedEvery == 0);
  }
  return table;
}

class Service final
    : public lookup::LookupService::WithCallbackMethod_Check<
          lookup::LookupService::WithCallbackMethod_BatchCheck<lookup::LookupService::Service>> {
 public:
  Service(const BlindKeys& keys, const Table& table, const std::string& authorization)
      : keys_(keys), table_(table), key_digest_(Digest(authorization)) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context, const lookup::CheckRequest* request,
                                  lookup::CheckResponse* response) override {
    auto* reactor = context->DefaultReactor();
    if (!Permitted(*context)) {
      reactor->Finish({grpc::StatusCode::UNAUTHENTICATED, "The API key is not valid."});
    } else if (!Answer(request->subject(), response->mutable_answer())) {
      reactor->Finish({grpc::StatusCode::INVALID_ARGUMENT, "The identity cannot be read."});
    } else {
      reactor->Finish(grpc::Status::OK);
    }
    return reactor;
  }

  grpc::ServerUnaryReactor* BatchCheck(grpc::CallbackServerContext* context,
                                       const lookup::BatchCheckRequest* request,
                                       lookup::BatchCheckResponse* response) override {
    auto* reactor = context->DefaultReactor();
    if (!Permitted(*context)) {
      reactor->Finish({grpc::StatusCode::UNAUTHENTICATED, "The API key is not valid."});
      return reactor;
    }
    response->mutable_answers()->Reserve(request->subjects_size());
    for (const auto& subject : request->subjects()) {
      auto* answer = response->add_answers();
      if (!Answer(subject, answer)) answer->set_outcome(lookup::OUTCOME_INDETERMINATE);
    }
    response->set_revision(kRevision);
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  bool Permitted(const grpc::CallbackServerContext& context) const {
    const auto& metadata = context.client_metadata();
    auto found = metadata.find("authorization");
    if (found == metadata.end()) return false;
    std::string digest = Digest({found->second.data(), found->second.size()});
    return CRYPTO_memcmp(digest.data(), key_digest_.data(), digest.size()) == 0;
  }

  bool Answer(const lookup::Subject& subject, lookup::Answer* answer) const {
    bool excluded = false;
    if (!subject.phone().empty()) {
      auto phone = NormalPhone(subject.phone());
      if (!phone) return false;
      excluded |= table_.Excluded(keys_.Phone(*phone));
    }
    if (subject.has_document()) {
      auto number = NormalNationalId(subject.document().number());
      if (!number || subject.document().type() > type::DOCUMENT_TYPE_NATIONAL_ID) return false;
      excluded |= table_.Excluded(keys_.NationalId(*number));
    }
    answer->set_outcome(excluded ? lookup::OUTCOME_EXCLUDED : lookup::OUTCOME_NOT_EXCLUDED);
    if (excluded) answer->set_basis(lookup::BASIS_DOCUMENT);
    answer->set_risk_level(type::RISK_LEVEL_UNKNOWN);
    answer->set_revision(kRevision);
    return true;
  }

  const BlindKeys& keys_;
  const Table& table_;
  const std::string key_digest_;
};

// The people of `nser seed`: lookup_core/cli/demo/people.py has the rule.
void WriteIndex(const std::string& path, const BlindKeys& keys, std::uint64_t people, std::uint64_t seed) {
  std::ofstream file(path, std::ios::binary);
  for (std::uint64_t number = 0; number < people; ++number) {
    char phone[16], document[16];
    std::snprintf(phone, sizeof phone, "+2547%08u",
                  static_cast<unsigned>((number * 61803399 + seed * 7919) % 100000000));
    std::snprintf(document, sizeof document, "%u",
                  static_cast<unsigned>(10000000 + (number * 61803399 + seed * 7919 * 13) % 89000000));
    Blind by_phone = keys.Phone(phone), by_document = keys.NationalId(document);
    file.write(reinterpret_cast<const char*>(by_phone.data()), by_phone.size());
    file.write(reinterpret_cast<const char*>(by_document.data()), by_document.size());
  }
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void Serve(const std::map<std::string, std::string>& options, const BlindKeys& keys, std::uint64_t people) {
  Table table = ReadIndex(options.at("--index"), people);
  Service service(keys, table, ReadFile(options.at("--authorization")));
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + options.at("--port"), grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  if (!server) throw std::runtime_error("cannot listen on port " + options.at("--port"));
  std::cout << "ready" << std::endl;
  server->Wait();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::map<std::string, std::string> options;
    for (int at = 1; at + 1 < argc; at += 2) options[argv[at]] = argv[at + 1];
    const BlindKeys keys(ReadFile(options.at("--keys")));
    const std::uint64_t people = std::stoull(options.at("--people"));
    static_assert(kRowBytes == 2 * sizeof(Blind));
    if (options.count("--port")) {
      Serve(options, keys, people);
    } else {
      WriteIndex(options.at("--index"), keys, people, std::stoull(options.at("--seed")));
    }
  } catch (const std::exception& error) {
    std::cerr << "callback: " << error.what() << std::endl;
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
