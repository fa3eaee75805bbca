// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {GhostBooks} from "./GhostBooks.sol";
import {GhostMath} from "./GhostMath.sol";

/// @title The ghost: the whole mechanism implemented again, naively, from docs/mechanism.md
/// @notice Called with the very same calls as the contract, it must give the same results, errors, events and books. It
/// keeps the ETH it is sent and pays nobody.
contract Ghost is GhostBooks, Multicall {
    constructor(address real, Terms memory t) payable GhostBooks(real, t) {
        if (msg.value != 0) {
            thePool = msg.value;
            emit Funded(msg.sender, msg.value);
        }
    }

    // ------------------------------------------------------------------------------------------------------- nodes

    function register(Role role) external payable {
        if (role == Role.None) revert InvalidRole();
        if (nodes[msg.sender].role != Role.None) revert AlreadyRegistered(msg.sender);
        if (msg.value < theTerms.minStake) revert StakeTooLow(msg.value, theTerms.minStake);
        checkBalance();
        checkRoom(weightOf(msg.value));
        meet(msg.sender);
        nodes[msg.sender] = NodeFacts(role, msg.value, block.timestamp, block.timestamp, 0, false);
        emit NodeRegistered(msg.sender, role, msg.value);
    }

    function topUp() external payable {
        NodeFacts storage facts = active(msg.sender);
        if (msg.value == 0) revert NothingSent();
        checkBalance();
        checkRoom(weightOf(facts.stake + msg.value) - weightOf(facts.stake));
        facts.stake += msg.value;
        facts.joinedAt = block.timestamp;
        facts.activeAt = block.timestamp;
        emit StakeAdded(msg.sender, msg.value, facts.stake);
    }

    function requestExit(address account) external {
        requireOwner(account);
        active(account).exitAt = block.timestamp + theTerms.unbonding;
        emit ExitRequested(account, uint40(block.timestamp + theTerms.unbonding));
    }

    function cancelExit() external {
        NodeFacts storage facts = registered(msg.sender);
        if (!facts.retired) revert NotRetired(msg.sender);
        checkRoom(weightOf(facts.stake));
        facts.exitAt = 0;
        facts.retired = false;
        facts.joinedAt = block.timestamp;
        facts.activeAt = block.timestamp;
        emit ExitCancelled(msg.sender);
    }

    function claimStake(address account) external {
        requireOwner(account);
        NodeFacts memory facts = registered(account);
        if (facts.exitAt == 0 || block.timestamp < facts.exitAt) revert StakeLocked(account, facts.exitAt);
        uint256 open = openCommitsOf(account);
        if (open != 0) revert CommitsOpen(account, open);
        delete nodes[account];
        credits[account] += facts.stake;
        emit StakeClaimed(account, facts.stake);
    }

    function keepAlive() external {
        active(msg.sender).activeAt = block.timestamp;
        emit KeptAlive(msg.sender);
    }

    function retire(address account) external {
        NodeFacts storage facts = active(account);
        uint256 heardSince = heardTimes[heardTimes.length - HEARD];
        uint256 quietUntil = facts.activeAt + theTerms.unbonding;
        if (facts.activeAt >= heardSince || block.timestamp < quietUntil) {
            revert StillActive(account, facts.activeAt, heardSince, quietUntil);
        }
        facts.exitAt = block.timestamp + theTerms.unbonding;
        facts.retired = true;
        emit NodeRetired(account, uint40(facts.exitAt));
    }

    // ------------------------------------------------------------------------------------------------------ models

    function submit(bytes32 bundle, uint32[] calldata parents) external payable returns (uint32 id) {
        NodeFacts storage author = active(msg.sender);
        if (block.timestamp < opensAt()) revert NotOpen(opensAt());
        if (author.role != Role.Trainer) revert NotTrainer(msg.sender);
        if (msg.value != theTerms.submissionFee) revert WrongFee(msg.value, theTerms.submissionFee);
        for (uint256 i = 1; i < models.length; ++i) {
            if (models[i].author == msg.sender && models[i].bundle == bundle) revert AlreadySubmitted(msg.sender, bundle);
        }
        if (parents.length == 0 || parents.length > 8) revert InvalidParentCount(parents.length, 8);
        for (uint256 i = 0; i < parents.length; ++i) {
            if (parents[i] >= models.length) revert UnknownModel(parents[i]);
            for (uint256 j = 0; j < i; ++j) {
                if (parents[j] == parents[i]) revert DuplicateParent(parents[i]);
            }
        }
        checkBalance();
        author.activeAt = block.timestamp;
        id = uint32(models.length);
        models.push();
        ModelFacts storage facts = models[id];
        facts.author = msg.sender;
        facts.bundle = bundle;
        facts.parent = parents[0];
        facts.baseline = theChampion;
        facts.submittedAt = block.timestamp;
        facts.opensAt = block.timestamp + theTerms.commitWindow;
        facts.eligible = GhostMath.larger(sumOfWeights() - weightOf(author.stake), theTerms.electorate);
        emit ModelSubmitted(id, msg.sender, bundle, parents, theChampion, uint64(facts.eligible));
    }

    /// @notice From a minute after the submission on, whoever comes first fixes the seed; nobody changes it after that.
    function drawJury(uint32 id) external {
        if (theTerms.jury == 0) revert JuryNotDrawn(id, 0);
        requirePhase(id, Phase.Voting);
        draw(id);
    }

    function commitVote(uint32 id, bytes32 bundle, uint32 baseline, bytes32 commitment, bytes32 sealedScore) external {
        requirePhase(id, Phase.Voting);
        ModelFacts storage facts = models[id];
        requireBundle(id, bundle);
        if (facts.baseline != baseline) revert BaselineMismatch(id, facts.baseline, baseline);
        NodeFacts storage voter = active(msg.sender);
        requireNoBallot(id);
        if (voter.joinedAt >= facts.submittedAt) revert JoinedTooLate(id, voter.joinedAt, facts.submittedAt);
        if (weightOf(voter.stake) == 0) revert NoWeight(msg.sender);
        uint256 bonds = theTerms.commitBond * (openCommitsOf(msg.sender) + 1);
        if (voter.stake < bonds) revert BondNotCovered(voter.stake, bonds);
        uint256 weight = ballotWeight(id, weightOf(voter.stake));
        uint256 committed = committedOf(id) + weight;
        if (committed > type(uint32).max) revert WeightLimit(committed, type(uint32).max);

        voter.activeAt = block.timestamp;
        facts.voters.push(msg.sender);
        ballots[id][msg.sender] = BallotFacts(commitment, weight, BallotState.Committed, 0, false);
        emit VoteCommitted(id, msg.sender, commitment, sealedScore, uint64(weight));
        if (theTerms.jury == 0 && committed == facts.eligible) {
            facts.opensAt = block.timestamp;
            emit RevealOpened(id);
        }
    }

    function revealVote(uint32 id, address voter, Score calldata score, bytes32 salt) external {
        requirePhase(id, Phase.Revealing);
        BallotFacts storage vote = openBallot(id, voter);
        checkScore(score);
        bytes32 commitment = voteCommitment(id, voter, score, salt);
        if (vote.commitment != commitment) revert CommitmentMismatch(vote.commitment, commitment);
        vote.state = BallotState.Revealed;
        vote.bucket = GhostMath.bucket(score.qn, score.baselineQn);
        emit VoteRevealed(id, voter, score, uint64(vote.weight));
    }

    function lateVote(uint32 id, bytes32 bundle, Score calldata score) external {
        Phase current = phase(id);
        if (id == 0 || current == Phase.Voting) revert WrongPhase(id, current);
        requireBundle(id, bundle);
        active(msg.sender);
        requireNoBallot(id);
        checkScore(score);
        ballots[id][msg.sender].state = BallotState.Late;
        emit LateVoteCast(id, msg.sender, score);
    }

    function settle(uint32 id) external {
        requirePhase(id, Phase.Due);
        if (id != next) revert NotNextToSettle(id, next);
        ModelFacts storage facts = models[id];
        uint256 revealed = revealedOf(id);
        int256 before = frontier();
        facts.outcome = Phase.Unscored;
        uint256 paid = 0;
        if (revealed != 0 && revealed * 10_000 >= theTerms.quorum * facts.eligible) paid = judge(id, revealed);
        if (revealed != 0 && revealed * 20_000 >= theTerms.quorum * facts.eligible) heardTimes.push(block.timestamp);
        next += 1;
        facts.feesKept = feeShare(revealed, facts.eligible, revealed);
        thePool += theTerms.submissionFee - facts.feesKept;
        emit ModelSettled(id, facts.outcome == Phase.Scored, int16(facts.gain), int32(facts.level), facts.payout, uint8(paid));
        if (facts.advance != 0) reward(id, uint256(before));
    }

    function forfeit(uint32 id, address voter) external {
        BallotFacts storage vote = openBallot(id, voter);
        Phase current = currentPhase(id);
        if (current == Phase.Voting || current == Phase.Revealing) revert WrongPhase(id, current);
        uint256 amount = theTerms.commitBond;
        vote.state = BallotState.Forfeited;
        nodes[voter].stake -= amount;
        thePool += amount;
        emit CommitForfeited(id, voter, amount);
    }

    // ------------------------------------------------------------------------------------------------------- money

    function claimFees(address account, uint32[] calldata ids) external {
        for (uint256 i = 0; i < ids.length; ++i) {
            uint32 id = ids[i];
            Phase current = phase(id);
            if (current != Phase.Scored && current != Phase.Unscored) revert WrongPhase(id, current);
            BallotFacts storage vote = ballots[id][account];
            if (vote.state != BallotState.Revealed) revert NotRevealed(id, account, vote.state);
            if (vote.feeClaimed) revert FeeAlreadyClaimed(id, account);
            vote.feeClaimed = true;
            uint256 amount = feeShare(vote.weight, models[id].eligible, revealedOf(id));
            models[id].feesTaken += amount;
            credits[account] += amount;
            emit FeeClaimed(id, account, amount);
        }
    }

    function claimRoyalties(uint32[] calldata ids) external {
        for (uint256 i = 0; i < ids.length; ++i) {
            uint32 id = ids[i];
            if (id >= models.length || models[id].advance == 0) revert NotChampion(id);
            uint256 amount = owed(id);
            models[id].sharesTaken = shares.length;
            royaltiesClaimed += amount;
            credits[models[id].author] += amount;
            emit RoyaltiesClaimed(id, models[id].author, amount);
        }
    }

    function fund() external payable {
        if (msg.value == 0) revert NothingSent();
        checkBalance();
        thePool += msg.value;
        emit Funded(msg.sender, msg.value);
    }

    function reclaim() external {
        if (theTerms.sunset == 0) revert SunsetNotReached(0);
        uint256 until = aliveAt + theTerms.sunset;
        if (block.timestamp < until) revert SunsetNotReached(until);
        if (next < models.length && models[next].submittedAt < until) revert ModelsUnsettled(next, modelCount());
        uint256 amount = thePool;
        if (amount == 0) revert NothingToReclaim();
        thePool = 0;
        aliveAt = block.timestamp;
        meet(theTerms.sponsor);
        credits[theTerms.sponsor] += amount;
        emit PoolReclaimed(theTerms.sponsor, amount);
    }

    function setPayee(address account, address to) external {
        if (to == address(0)) revert InvalidRecipient(to);
        if (msg.sender != payee(account)) revert NotPayee(account, payee(account));
        payees[account] = to;
        emit PayeeChanged(account, to);
    }

    function withdraw(address account, address to) external {
        if (to == address(0)) revert InvalidRecipient(to);
        if (msg.sender != payee(account)) revert NotPayee(account, payee(account));
        uint256 amount = credits[account];
        if (amount == 0) revert NothingToWithdraw(account);
        if (refuses[to]) revert WithdrawFailed(to, amount);
        credits[account] = 0;
        emit Withdrawn(account, to, amount);
    }

    // ------------------------------------------------------------------------------------------------------ inside

    /// @dev Sets gain, level, and champion if it is one; the payout is of the pool before the rest of the fee joins it.
    /// Returns the steps paid for: no more of the advance than the pace allows.
    function judge(uint32 id, uint256 revealed) private returns (uint256 paid) {
        ModelFacts storage facts = models[id];
        facts.outcome = Phase.Scored;
        facts.gain = int256(medianBucket(id, revealed)) - 64;
        facts.level = models[facts.baseline].level + facts.gain;
        int256 advance = facts.level - frontier();
        if (advance < int256(uint256(theTerms.minGain))) return 0;
        facts.advance = uint256(advance);
        paid = GhostMath.smaller(facts.advance, payable_());
        advances.push(Advance(block.timestamp, paid));
        aliveAt = block.timestamp;
        uint256 kept = GhostMath.power(KEEP, paid);
        facts.payout = thePool * (GhostMath.UNIT - kept) / GhostMath.UNIT;
        thePool -= facts.payout;
        theChampion = id;
    }

    function reward(uint32 id, uint256 before) private {
        ModelFacts storage facts = models[id];
        emit ChampionChanged(id, int32(facts.level));
        uint256 royalties = before == 0 ? 0 : facts.payout * theTerms.royalty / 10_000;
        if (royalties != 0) {
            shares.push(Share(royalties, royalties * 1e18 / before));
            emit RoyaltiesShared(id, royalties);
        }
        facts.sharesTaken = shares.length;
        if (facts.payout == royalties) return;
        credits[facts.author] += facts.payout - royalties;
        emit Rewarded(id, facts.author, facts.payout - royalties);
    }

    function ballotWeight(uint32 id, uint256 own) private returns (uint256) {
        uint256 jury = theTerms.jury;
        if (jury == 0) return own;
        ModelFacts storage facts = models[id];
        draw(id);
        if (jury * own >= facts.eligible) return own;
        uint256 ticket = uint256(keccak256(abi.encode(facts.seed, id, msg.sender))) % facts.eligible;
        if (ticket >= jury * own) revert NotOnJury(id, msg.sender);
        return facts.eligible / jury;
    }

    function draw(uint32 id) private {
        ModelFacts storage facts = models[id];
        if (facts.drawn) return;
        if (block.timestamp < facts.submittedAt + 60) revert JuryNotDrawn(id, facts.submittedAt + 60);
        (facts.drawn, facts.seed) = (true, bytes32(block.prevrandao));
        emit JuryDrawn(id, facts.seed);
    }

    function meet(address account) private {
        if (known[account]) return;
        known[account] = true;
        people.push(account);
    }

    function registered(address account) private view returns (NodeFacts storage facts) {
        facts = nodes[account];
        if (facts.role == Role.None) revert NotRegistered(account);
    }

    function active(address account) private view returns (NodeFacts storage facts) {
        facts = registered(account);
        if (facts.exitAt != 0) revert NodeExiting(account, facts.exitAt);
    }

    function requirePhase(uint32 id, Phase wanted) private view {
        Phase current = phase(id);
        if (current != wanted) revert WrongPhase(id, current);
    }

    function requireBundle(uint32 id, bytes32 bundle) private view {
        if (models[id].bundle != bundle) revert BundleMismatch(id, models[id].bundle, bundle);
    }

    /// @dev The account itself or its payee.
    function requireOwner(address account) private view {
        if (msg.sender != account && msg.sender != payee(account)) revert NotPayee(account, payee(account));
    }

    function requireNoBallot(uint32 id) private view {
        if (models[id].author == msg.sender) revert OwnModel(id);
        BallotState state = ballots[id][msg.sender].state;
        if (state != BallotState.None) revert AlreadyVoted(id, msg.sender, state);
    }

    function openBallot(uint32 id, address voter) private view returns (BallotFacts storage vote) {
        vote = ballots[id][voter];
        if (vote.state != BallotState.Committed) revert NoOpenBallot(id, voter, vote.state);
    }

    function checkScore(Score calldata given) private pure {
        if (given.qn == 0 || given.baselineQn == 0 || given.memorized > 1e6) {
            revert InvalidScore(given.qn, given.baselineQn, given.memorized);
        }
    }

    function checkRoom(uint256 added) private view {
        uint256 weight = sumOfWeights() + added;
        if (weight > MAX_ACTIVE_WEIGHT) revert WeightFull(weight, MAX_ACTIVE_WEIGHT);
    }

    function checkBalance() private view {
        Ledger memory books = ledger();
        uint256 held =
            books.stakes + books.pool + books.credits + books.lockedFees + books.lockedRoyalties + forced + msg.value;
        if (held > MAX_BALANCE) revert BalanceLimit(held, MAX_BALANCE);
    }
}
